// What pages do beyond links and forms: without it they work as well.
(() => {
  const one = (selector, within = document) => within.querySelector(selector);
  const each = (selector, act, within = document) => within.querySelectorAll(selector).forEach(act);
  const byId = (id) => document.getElementById(id);
  const on = (name, act) => document.addEventListener(name, act);
  const say = (text) => {
    if (byId("live")) byId("live").textContent = text;
  };

  // Copy: <button data-copy="id of what to copy">
  const copy = async (button) => {
    const from = byId(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(from.value ?? from.textContent);
    } catch {
      getSelection().selectAllChildren(from);
      return say("Selected: press Ctrl C to copy");
    }
    const label = one("span", button) ?? button;
    const before = label.textContent;
    label.textContent = "Copied";
    say("Copied");
    setTimeout(() => (label.textContent = before), 2000);
  };

  // Light and dark, at once.
  const toggleTheme = () => {
    const look = document.documentElement.dataset;
    const isDark = look.theme ? look.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    look.theme = isDark ? "light" : "dark";
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `watchword-theme=${look.theme}; Path=/; SameSite=Lax; Max-Age=31536000${secure}`;
  };

  on("click", (event) => {
    const button = event.target.closest("[data-copy],[data-theme-toggle],[data-add-row],[data-remove-row],[data-pick-all]");
    if (!button) return;
    const acts = button.dataset;
    if ("copy" in acts) copy(button);
    else if ("themeToggle" in acts) {
      event.preventDefault();
      toggleTheme();
    } else if ("addRow" in acts) {
      // One more of a repeated group of fields: its template is the next.
      const template = byId(acts.addRow);
      template.before(template.content.cloneNode(true));
      one("input,select,textarea", template.previousElementSibling)?.focus();
    } else if ("removeRow" in acts) button.closest("[data-row]").remove();
    else if ("pickAll" in acts)
      for (const box of button.form?.querySelectorAll("[name=pick]") ?? []) box.checked = button.checked;
  });

  // Fields of a chosen tile are shown with it: <fieldset data-for="name=value">.
  const showChosen = (form) => {
    const show = (part) => {
      const [name, value] = part.dataset.for.split("=");
      part.hidden = part.disabled = one(`[name="${name}"]:checked`, form)?.value !== value;
    };
    each("[data-for]", show, form);
  };
  const prepare = () => {
    each("form[data-chooses]", showChosen);
    if (window.PublicKeyCredential?.parseRequestOptionsFromJSON)
      each("[data-passkey]", (form) => (form.hidden = false));
  };
  on("change", (event) => {
    const form = event.target.closest("form[data-chooses]");
    if (form) showChosen(form);
    if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
  });

  // Passkeys: <form data-passkey="create or get" data-options="JSON">.
  const usePasskey = async (form) => {
    const { passkey, options, known, failed } = form.dataset;
    const told = one("[role=alert]", form);
    told.hidden = true;
    try {
      const read = passkey === "create" ? "parseCreationOptionsFromJSON" : "parseRequestOptionsFromJSON";
      const publicKey = PublicKeyCredential[read](JSON.parse(options));
      form.credential.value = JSON.stringify(await navigator.credentials[passkey]({ publicKey }));
      form.submit();
    } catch (error) {
      one("span", told).textContent = error.name === "InvalidStateError" ? known : failed;
      told.hidden = false;
    }
  };
  on("submit", (event) => {
    if (!("passkey" in event.target.dataset)) return;
    event.preventDefault();
    usePasskey(event.target);
  });

  // Keys: / and Ctrl K search, c create, g then i, p, d, a go; ? help.
  let waits = 0;
  on("keydown", (event) => {
    const { key, altKey } = event;
    const isCommand = event.ctrlKey || event.metaKey;
    const go = (path) => {
      const { base } = document.body.dataset;
      if (base) location.assign(base + path);
    };
    if (isCommand && key === "k") {
      event.preventDefault();
      return go("/jump");
    }
    if (isCommand || altKey || event.target.closest("input,textarea,select,[contenteditable]")) return;
    if (Date.now() < waits) {
      waits = 0;
      const paths = { h: "", i: "/identities", p: "/projects", d: "/denials", a: "/audit" };
      if (key in paths) go(paths[key]);
      return;
    }
    if (key === "g") waits = Date.now() + 1500;
    else if (key === "/") {
      event.preventDefault();
      const search = one("main [type=search]");
      if (search) search.focus();
      else go("/jump");
    } else if (key === "c") one("[data-create]")?.click();
    else if (key === "?") byId("keys")?.togglePopover();
  });

  // A command waits for this: <div data-send-to="http://127.0.0.1:N/" data-send="base64">
  const send = async (part) => {
    const told = one("[role=status]", part);
    try {
      const body = Uint8Array.from(atob(part.dataset.send), (char) => char.charCodeAt(0));
      const headers = { "Content-Type": "application/json" };
      const answer = await fetch(part.dataset.sendTo, { method: "POST", body, headers });
      told.textContent = answer.ok ? part.dataset.done : part.dataset.failed;
    } catch {
      told.textContent = part.dataset.failed;
    }
  };
  each("[data-send-to]", send);

  // After htmx exchanged the page: its title is said, and the focus is in it.
  on("htmx:afterSettle", (event) => {
    prepare();
    if (event.target === document.body || event.detail.boosted) {
      say(document.title);
      (one("[autofocus]") ?? one("#main"))?.focus({ preventScroll: true });
    }
  });
  prepare();
})();
