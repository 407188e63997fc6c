/* What makes the pages live. Without it everything can still be read and every form still works.

   The server says on /live which topics have changed. A page names the topics that concern it in <main data-topics>;
   it is then fetched again and morphed into place, so that focus, scroll, open details and half-written answers stay. */
(function () {
  "use strict";

  var root = document.documentElement;
  var RETRY_MS = 1000;
  var RETRY_LATEST = 5;
  var QUIET_MS = 3000;
  var PATIENCE_MS = 2500;
  var GAP_MS = 250;
  var SAID_MS = 15000;
  var saidAt = Date.now();

  function main() {
    return document.getElementById("main");
  }

  /* -- morphing */

  function dirty(node) {
    if (node instanceof HTMLTextAreaElement || (node instanceof HTMLInputElement && node.type !== "hidden")) {
      if (node.type === "checkbox" || node.type === "radio") return node.checked !== node.defaultChecked;
      return node.value !== node.defaultValue || node === document.activeElement;
    }
    if (node instanceof HTMLSelectElement) {
      return Array.prototype.some.call(node.options, function (one) { return one.selected !== one.defaultSelected; });
    }
    return false;
  }

  var calm = {
    morphStyle: "innerHTML",
    callbacks: {
      beforeNodeMorphed: function (old) {
        if (!(old instanceof Element)) return true;
        if (old.hasAttribute("data-kept")) return false;
        /* whoever writes an answer writes it to the question that is on the screen: the form stays as it is */
        if (old instanceof HTMLFormElement && Array.prototype.some.call(old.elements, dirty)) return false;
        return !dirty(old);
      },
      beforeNodeRemoved: function (node) {
        /* what came of a form stays for a while, whatever else happens */
        return !(node.id === "said" && Date.now() - saidAt < SAID_MS);
      },
      beforeAttributeUpdated: function (name, node) {
        return !(name === "open" && (node instanceof HTMLDetailsElement || node instanceof HTMLDialogElement));
      },
    },
  };

  function put(html) {
    var old = main();
    var parsed = new DOMParser().parseFromString(html, "text/html");
    var fresh = parsed.getElementById("main");
    if (!old || !fresh) return false;
    ["topics", "every"].forEach(function (name) {
      if (name in fresh.dataset) old.dataset[name] = fresh.dataset[name];
      else delete old.dataset[name];
    });
    Idiomorph.morph(old, fresh.innerHTML, calm);
    nav(parsed);
    htmx.process(main());
    tick();
    document.dispatchEvent(new CustomEvent("daybreak:shown"));
    return true;
  }

  function nav(parsed) {
    /* a fragment carries the numbers of the navigation */
    var fresh = parsed.getElementById("waiting");
    var old = document.getElementById("waiting");
    if (!fresh || !old || fresh.textContent === old.textContent) return;
    old.textContent = fresh.textContent;
    old.hidden = fresh.hidden;
  }

  document.addEventListener("htmx:beforeSwap", function (event) {
    /* What a form brought is morphed in as well. Not by htmx: the form itself may be gone by now. */
    var xhr = event.detail.xhr;
    var type = xhr.getResponseHeader("content-type") || "";
    var form = event.detail.requestConfig && event.detail.requestConfig.elt;
    if (!event.detail.target || event.detail.target.id !== "main") return;
    event.detail.shouldSwap = false;
    event.detail.isError = false;
    if (/problem\+json/.test(type)) { refuse(JSON.parse(xhr.responseText)); return; }
    /* done: the form is empty again; refused: nothing that was written is lost */
    if (form instanceof HTMLFormElement && !/class="notice bad"/.test(xhr.responseText)) form.reset();
    if (!put(xhr.responseText)) { location.reload(); return; }
    saidAt = Date.now();
    var said = document.getElementById("said");
    if (said && (!document.activeElement || document.activeElement === document.body)) said.focus();
  });

  function refuse(problem) {
    var box = document.getElementById("said") || document.createElement("div");
    box.id = "said";
    box.className = "notice bad";
    box.tabIndex = -1;
    box.textContent = problem.code + " " + problem.detail + ". " + problem.hint;
    main().prepend(box);
    tell(box.textContent);
    box.focus();
  }

  document.addEventListener("htmx:sendError", function () {
    state("lost");
    tell("Nothing was sent: the server cannot be reached.");
  });

  function tell(text) {
    var where = document.getElementById("telling");
    if (where) where.textContent = text;
  }

  /* -- live */

  var source = null;
  var heard = 0;
  var tries = 0;
  var shownAt = new Date();
  var asking = false;
  var again = false;
  var last = 0;
  var timer = null;

  function state(now) {
    var line = document.querySelector(".live");
    if (!line) return;
    var before = line.dataset.state;
    line.dataset.state = now;
    var at = clock(shownAt);
    var text = now === "on" ? "up to date as of " + at
      : now === "lost" ? "connection lost, trying again (as of " + at + ")"
      : "connecting …";
    var words = line.querySelector(".live-words");
    if (words.textContent !== text) words.textContent = text;
    if (before !== now && (before === "lost" || now === "lost")) {
      tell(now === "lost" ? "Connection lost, trying again." : "Connected again.");
    }
  }

  function clock(moment) {
    function two(number) { return String(number).padStart(2, "0"); }
    return two(moment.getHours()) + ":" + two(moment.getMinutes()) + ":" + two(moment.getSeconds());
  }

  function refresh() {
    if (asking) { again = true; return; }
    var wait = last + GAP_MS - Date.now();
    if (wait > 0) {
      if (!timer) timer = setTimeout(function () { timer = null; refresh(); }, wait);
      return;
    }
    asking = true;
    again = false;
    last = Date.now();
    fetch(location.href, { headers: { "X-Fragment": "main" }, credentials: "same-origin", cache: "no-store" })
      .then(function (answer) {
        if (answer.status === 401) { location.reload(); return ""; }
        if (!answer.ok) throw new Error(String(answer.status));
        return answer.text();
      })
      .then(function (html) {
        if (html && put(html)) { shownAt = new Date(); state("on"); }
      })
      .catch(function () { state("lost"); })
      .finally(function () {
        asking = false;
        if (again) refresh();
      });
  }

  function concerns(topics) {
    var mine = (main() && main().dataset.topics || "").split(" ");
    return topics.some(function (one) { return mine.indexOf(one) >= 0; });
  }

  function topicsOf(data) {
    try {
      var told = JSON.parse(data);
      return Array.isArray(told) ? told : told.topics || [];
    } catch (_) {
      return data.split(/[\s,]+/);
    }
  }

  function connect() {
    if (source) source.close();
    source = new EventSource("/live");
    heard = Date.now();
    source.onopen = function () {
      heard = Date.now();
      tries = 0;
      refresh();
    };
    source.addEventListener("changed", function (event) {
      heard = Date.now();
      if (concerns(topicsOf(event.data))) refresh();
      else upToDate();
    });
    source.addEventListener("resync", function () {
      heard = Date.now();
      refresh();
    });
    source.addEventListener("hello", function () { heard = Date.now(); });
    source.onerror = function () {
      /* refused by a server that is there: it may want this browser to sign in, which a look at the page finds out */
      if (source.readyState === EventSource.CLOSED) refresh();
      else state("lost");
      source.close();
      source = null;
      tries += 1;
      setTimeout(connect, RETRY_MS * Math.min(tries, RETRY_LATEST));
    };
  }

  function upToDate() {
    if (asking || timer) return;
    shownAt = new Date();
    state("on");
  }

  setInterval(tick, 1000);

  setInterval(function () {
    /* nothing was heard for a while: is nothing new, or is nobody there? */
    if (!source || source.readyState !== 1 || Date.now() - heard < QUIET_MS) return;
    fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) })
      .then(function (answer) {
        if (!answer.ok) throw new Error(String(answer.status));
        heard = Date.now();
        upToDate();
      })
      .catch(function () { state("lost"); });
  }, 2000);

  setInterval(function () {
    /* what changes without an event: the progress that a night tells of itself */
    if (main() && main().dataset.every && !document.hidden && source && source.readyState === 1) refresh();
  }, 5000);

  document.addEventListener("visibilitychange", function () {
    if (!document.hidden) refresh();
  });

  /* -- times that go on by themselves */

  function span(seconds) {
    var s = Math.max(0, Math.floor(seconds));
    if (s < 60) return s + " s";
    if (s < 3600) return Math.floor(s / 60) + " min";
    if (s < 86400) return Math.floor(s / 3600) + " h " + String(Math.floor(s / 60) % 60).padStart(2, "0") + " min";
    return Math.floor(s / 86400) + " d " + Math.floor(s / 3600) % 24 + " h";
  }

  function tick() {
    var now = Date.now();
    document.querySelectorAll("time[data-ago], time[data-in]").forEach(function (one) {
      var at = Date.parse(one.getAttribute("datetime"));
      if (isNaN(at)) return;
      var text = one.hasAttribute("data-in")
        ? (at > now ? "in " + span((at - now) / 1000) : "now")
        : span((now - at) / 1000) + (one.dataset.ago === "for" ? "" : " ago");
      if (one.textContent !== text) one.textContent = text;
    });
  }

  /* -- dialogs: a link that leads to a page of its own, opened here instead */

  document.addEventListener("click", function (event) {
    var link = event.target.closest("[data-dialog]");
    if (link) {
      var dialog = document.getElementById(link.dataset.dialog);
      if (!dialog || !dialog.showModal) return;
      event.preventDefault();
      var form = dialog.querySelector("form");
      var action = link.dataset.action || link.getAttribute("href");
      if (form && action) {
        form.setAttribute("action", action);
        form.setAttribute("hx-post", action);
        htmx.process(form);
      }
      dialog.querySelectorAll("[data-says]").forEach(function (one) {
        one.textContent = link.dataset[one.dataset.says] || "";
      });
      dialog.showModal();
      return;
    }
    var close = event.target.closest("[data-close]");
    if (close) {
      event.preventDefault();
      close.closest("dialog").close();
    }
    if (event.target instanceof HTMLDialogElement) event.target.close();
  });

  document.addEventListener("submit", function (event) {
    var dialog = event.target.closest("dialog");
    if (dialog) dialog.close();
  });

  /* -- the theme */

  document.addEventListener("submit", function (event) {
    if (event.target.id !== "theme") return;
    event.preventDefault();
    var dark = root.dataset.theme ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    var next = dark ? "light" : "dark";
    root.dataset.theme = next;
    document.cookie = "daybreak_theme=" + next + "; path=/; max-age=31536000; samesite=lax";
    document.dispatchEvent(new CustomEvent("daybreak:theme"));
    tell("The theme is " + next + " now.");
  });

  /* -- the logs' end is what one wants to see */

  function begin() {
    tick();
    if (document.querySelector(".live")) {
      connect();
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
