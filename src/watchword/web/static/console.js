// What the pages do beyond links and forms. Everything here is a comfort: without it they work as well.
(() => {
  const one = (selector, within = document) => within.querySelector(selector);
  const say = (text) => {
    const live = one("#live");
    if (live) live.textContent = text;
  };

  // Copy: <button data-copy="id of what to copy">
  const copy = async (button) => {
    const from = document.getElementById(button.dataset.copy);
    const text = "value" in from ? from.value : from.textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(from);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      return say("Selected: press Ctrl C to copy");
    }
    const label = button.querySelector("span") ?? button;
    const before = label.textContent;
    label.textContent = "Copied";
    say("Copied");
    setTimeout(() => (label.textContent = before), 2000);
  };

  // Light and dark, without loading the page again.
  const toggleTheme = () => {
    const root = document.documentElement;
    const isDark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `watchword-theme=${root.dataset.theme}; Path=/; SameSite=Lax; Max-Age=31536000${secure}`;
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy],[data-theme-toggle],[data-add-row],[data-remove-row],[data-pick-all]");
    if (!button) return;
    if ("copy" in button.dataset) copy(button);
    else if ("themeToggle" in button.dataset) {
      event.preventDefault();
      toggleTheme();
    } else if ("addRow" in button.dataset) {
      // One more of a repeated group of fields: the template stands beside it.
      const template = document.getElementById(button.dataset.addRow);
      template.before(template.content.cloneNode(true));
      one("input,select,textarea", template.previousElementSibling)?.focus();
    } else if ("removeRow" in button.dataset) button.closest("[data-row]").remove();
    else if ("pickAll" in button.dataset)
      for (const box of button.form?.querySelectorAll("[name=pick]") ?? []) box.checked = button.checked;
  });

  // Fields that belong to a chosen tile are shown with it: <fieldset data-for="value">.
  const showChosen = (form) => {
    for (const part of form.querySelectorAll("[data-for]")) {
      const [name, value] = part.dataset.for.split("=");
      const chosen = form.querySelector(`[name="${name}"]:checked`);
      const isShown = chosen?.value === value;
      part.hidden = !isShown;
      part.disabled = !isShown;
    }
  };
  const prepare = () => {
    document.querySelectorAll("form[data-chooses]").forEach(showChosen);
    if (window.PublicKeyCredential?.parseRequestOptionsFromJSON)
      for (const form of document.querySelectorAll("[data-passkey]")) form.hidden = false;
  };
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-chooses]");
    if (form) showChosen(form);
    if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
  });

  // Passkeys: <form data-passkey="create or get" data-options="JSON">; the browser's answer is sent as `credential`.
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
  document.addEventListener("submit", (event) => {
    if (!("passkey" in event.target.dataset)) return;
    event.preventDefault();
    usePasskey(event.target);
  });

  // Keys: / and Ctrl K search, c create, g then i, p, d, a go; ? help.
  let waits = 0;
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input,textarea,select,[contenteditable]");
    const go = (path) => {
      const base = document.body.dataset.base;
      if (base) location.assign(base + path);
    };
    if ((event.ctrlKey || event.metaKey) && event.key === "k") {
      event.preventDefault();
      return go("/jump");
    }
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    if (Date.now() < waits) {
      waits = 0;
      const paths = { h: "", i: "/identities", p: "/projects", d: "/denials", a: "/audit" };
      if (event.key in paths) go(paths[event.key]);
      return;
    }
    if (event.key === "g") waits = Date.now() + 1500;
    else if (event.key === "/") {
      event.preventDefault();
      const search = one("main [type=search]");
      if (search) search.focus();
      else go("/jump");
    } else if (event.key === "c") one("[data-create]")?.click();
    else if (event.key === "?") document.getElementById("keys")?.togglePopover();
  });

  // What a command on this machine waits for: <div data-send-to="http://127.0.0.1:N/" data-send="base64 of JSON">
  const send = async (part) => {
    const told = one("[role=status]", part);
    try {
      const body = Uint8Array.from(atob(part.dataset.send), (letter) => letter.charCodeAt(0));
      const headers = { "Content-Type": "application/json" };
      const answer = await fetch(part.dataset.sendTo, { method: "POST", body, headers });
      told.textContent = answer.ok ? part.dataset.done : part.dataset.failed;
    } catch {
      told.textContent = part.dataset.failed;
    }
  };
  document.querySelectorAll("[data-send-to]").forEach(send);

  // A page that htmx exchanged begins at its top, and a screen reader hears its title.
  document.addEventListener("htmx:afterSettle", (event) => {
    prepare();
    if (event.target === document.body || event.detail.boosted) {
      say(document.title);
      const first = one("[autofocus]") ?? document.getElementById("main");
      first?.focus({ preventScroll: true });
    }
  });
  document.addEventListener("DOMContentLoaded", prepare);
  prepare();
})();
