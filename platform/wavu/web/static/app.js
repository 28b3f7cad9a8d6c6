// Comfort only: every page works without this file. Loaded in the head, so that the chosen mode holds from the first
// paint; everything else listens on the document.
(function () {
  "use strict";

  var root = document.documentElement;

  function stored() {
    try {
      return localStorage.getItem("mode");
    } catch (refused) {
      return null; // Storage is switched off: the system's own mode stays.
    }
  }

  function setMode(mode) {
    if (mode === "light" || mode === "dark") root.dataset.mode = mode;
    else delete root.dataset.mode;
    document.querySelectorAll("[data-set-mode]").forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.dataset.setMode === (mode || "")));
    });
  }

  function remember(mode) {
    try {
      if (mode) localStorage.setItem("mode", mode);
      else localStorage.removeItem("mode");
    } catch (refused) {
      // Then it holds for this page.
    }
  }

  function closeMenus(except) {
    document.querySelectorAll("details.menu[open]").forEach(function (menu) {
      if (!except || !menu.contains(except)) menu.open = false;
    });
  }

  function copy(button) {
    var source = document.getElementById(button.dataset.copy);
    var words = button.querySelector("[data-copied]") || button;
    if (!source || !navigator.clipboard) return;
    navigator.clipboard.writeText(source.innerText.trim()).then(function () {
      words.textContent = words.dataset.copied;
    });
  }

  setMode(stored());

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("[data-needs-script]").forEach(function (element) {
      element.hidden = element.hasAttribute("data-copy") && !navigator.clipboard;
    });
    setMode(stored());
    // Something is on its way: without a script the page says so to the browser in its head.
    if (document.querySelector("[data-look-again]")) {
      setTimeout(function () {
        location.reload();
      }, 2000);
    }
  });

  document.addEventListener("click", function (event) {
    var target = event.target.closest("[data-copy], [data-set-mode], [data-dismiss]");
    closeMenus(event.target);
    if (!target) return;
    if (target.hasAttribute("data-copy")) copy(target);
    else if (target.hasAttribute("data-dismiss")) target.closest(".notice").remove();
    else {
      remember(target.dataset.setMode);
      setMode(target.dataset.setMode);
    }
  });

  document.addEventListener("keydown", function (event) {
    var search = document.querySelector("input[type=search]");
    if (event.key === "Escape") closeMenus();
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || !search) return;
    if (event.target.closest("input, textarea, select")) return;
    event.preventDefault();
    search.focus();
    search.select();
  });

  // One press, one request: a second one while the first is under way is swallowed. Not `disabled`, which would drop
  // the button's own value from the form.
  document.addEventListener("submit", function (event) {
    var form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
    form.setAttribute("aria-busy", "true");
  });

  // A page that comes back from the browser's own cache may be sent again.
  window.addEventListener("pageshow", function () {
    document.querySelectorAll("form[data-sent]").forEach(function (form) {
      delete form.dataset.sent;
      form.removeAttribute("aria-busy");
    });
  });
})();
