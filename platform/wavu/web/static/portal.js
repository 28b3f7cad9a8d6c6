// Pages work without it. For old web views (Chromium 66).
(function (d) {
  "use strict";

  function find(query) {
    return d.querySelector(query);
  }

  function clock(seconds) {
    return Math.floor(seconds / 60) + ":" + ("0" + (seconds % 60)).slice(-2);
  }

  // Price on the button, last number, one press.
  var form = find("[data-pay]");
  var button = form && form.querySelector("button");
  var phone = find("#phone");
  var pressed = false;

  function price() {
    var chosen = find("input[name=package]:checked");
    if (chosen) button.textContent = button.dataset.say.replace("%s", chosen.dataset.price);
  }

  function recall(number) {
    try {
      if (/(\d\D?){9}/.test(number)) localStorage.setItem("phone", number);
      return localStorage.getItem("phone") || "";
    } catch (no) {
      return "";
    }
  }

  if (phone) {
    phone.value = phone.value || recall();
    price();
    form.addEventListener("change", price);
  }
  if (form) {
    form.addEventListener("submit", function (event) {
      if (pressed) return event.preventDefault();
      pressed = true;
      button = event.submitter || button;
      button.setAttribute("aria-disabled", "true");
      button.textContent = button.dataset.busy;
      if (phone) recall(phone.value);
    });
    addEventListener("pageshow", function (event) {
      if (event.persisted) location.reload();
    });
  }

  // What a prompt has left, or the wait.
  var shown = find("[data-clock]");
  var held = find("[data-wait]");
  var bar = find("progress");
  var left = Number(shown ? shown.dataset.clock : held && held.dataset.wait);

  function tick() {
    left -= 1;
    if (shown) {
      shown.textContent = clock(left);
      bar.value = bar.max - left;
    } else if (!pressed) {
      held.textContent = left ? held.dataset.say.replace("%s", clock(left)) : held.dataset.ready;
      held.disabled = left > 0;
    }
    if (left) setTimeout(tick, 1000);
  }

  if (left) setTimeout(tick, 1000);

  // A new state loads the whole page: phones then look whether they are online.
  var live = find("[data-poll]");
  var asked = 0;
  var timer;

  function later() {
    asked += 1;
    clearTimeout(timer);
    if (!d.hidden) timer = setTimeout(ask, asked <= 10 ? 2000 : asked <= 25 ? 4000 : 8000);
  }

  function ask() {
    clearTimeout(timer);
    var request = new XMLHttpRequest();
    request.open("GET", live.dataset.poll);
    request.setRequestHeader("Accept", "application/json");
    request.timeout = 8000;
    request.onload = function () {
      var state = /"state":\s*"(\w+)"/.exec(request.responseText);
      if (!state || state[1] === live.dataset.state || pressed) later();
      else location.replace(live.dataset.here);
    };
    request.onerror = request.ontimeout = later;
    request.send();
  }

  if (!live) return;
  d.addEventListener("visibilitychange", function () {
    if (d.hidden) clearTimeout(timer);
    else ask();
  });
  if (live.dataset.go) setTimeout(location.replace.bind(location, live.dataset.go), 2500);
  later();
})(document);
