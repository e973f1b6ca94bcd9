// Runs before the page is drawn, so that the chosen theme is there from the first moment.
const chosen = /(?:^|; )watchword-theme=(light|dark)/.exec(document.cookie);
if (chosen) document.documentElement.dataset.theme = chosen[1];
