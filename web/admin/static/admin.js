// What the pages do beyond showing: times that go on, dialogs, notices, and the
// word on the connection. Pages are whole without it.
(() => {
  'use strict';

  // The rules of ago in admin_text.go.
  function ago(time, now) {
    let seconds = Math.floor((now - time) / 1000);
    const past = seconds >= 0;
    seconds = Math.abs(seconds);
    const say = (text) => past ? text + ' ago' : 'in ' + text;
    if (seconds < 5) return 'now';
    if (seconds < 60) return say(seconds + ' s');
    if (seconds < 3600) return say(Math.floor(seconds / 60) + ' min');
    if (seconds < 86400) return say(Math.floor(seconds / 3600) + ' h');
    if (seconds < 172800) return say('1 day');
    return say(Math.floor(seconds / 86400) + ' days');
  }

  function tellTimes() {
    const now = Date.now();
    for (const element of document.querySelectorAll('time[datetime]')) {
      const text = ago(Date.parse(element.dateTime), now);
      if (element.textContent !== text) element.textContent = text;
    }
  }
  setInterval(tellTimes, 5000);

  // The browser's own event streams say when they are cut off and when they are
  // back. A "bye" means that the page is over: signed out, or its app is gone.
  const state = document.getElementById('link-state');
  const known = new WeakSet();
  function tellLink(live) {
    if (!state) return;
    state.textContent = live ? 'Live' : 'Reconnecting …';
    state.classList.toggle('cut', !live);
  }
  document.addEventListener('htmx:sseOpen', (event) => {
    const source = event.detail.source;
    tellLink(true);
    if (known.has(source)) return;
    known.add(source);
    source.addEventListener('bye', () => {
      source.close();
      location.reload();
    });
  });
  document.addEventListener('htmx:sseError', () => tellLink(false));

  // Pages ask in a dialog what has to be asked; without this script it is a page.
  const dialog = document.getElementById('dialog');
  document.addEventListener('htmx:afterSwap', tellTimes);
  document.addEventListener('htmx:afterSettle', (event) => { // its form is htmx's by now
    if (event.detail.target !== dialog || dialog.open) return;
    if (dialog.querySelector('form')) {
      dialog.showModal();
    } else { // a refusal
      document.getElementById('notice')?.replaceChildren(...dialog.childNodes);
    }
  });
  document.addEventListener('htmx:sseMessage', tellTimes);
  document.addEventListener('htmx:afterRequest', (event) => {
    if (dialog?.open && dialog.contains(event.detail.elt)) dialog.close();
  });
  dialog?.addEventListener('close', () => dialog.replaceChildren());

  document.addEventListener('click', (event) => {
    if (!(event.target instanceof Element)) return;
    if (event.target === dialog || event.target.closest('[data-close]') && dialog?.open) {
      event.preventDefault();
      dialog.close();
    }
    event.target.closest('[data-dismiss]')?.closest('.notice').remove();
  });

  document.addEventListener('change', (event) => {
    event.target.closest('[data-submit-on-change]')?.requestSubmit();
  });
})();
