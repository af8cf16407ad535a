// Follows what programs write: appends lines as they come, in chunks that the
// browser can skip while they are out of sight, and scrolls along while the
// reader is at the end. The server escapes the lines (admin_follow.go).
(() => {
  'use strict';

  const CHUNK = 200; // lines; as many as the server sends at once
  const KEEP = 50; // chunks; what is older leaves the page
  const AT_END = 32; // pixels that still count as being at the end

  class Follower {
    constructor(box) {
      this.view = box.querySelector('.log-view');
      this.url = new URL(box.dataset.follow, location.href);
      this.keys = box.querySelector('.log-keys');
      this.pause = box.querySelector('[data-pause]');
      this.latest = box.querySelector('[data-latest]');
      this.chunk = this.view.querySelector('.chunk:last-of-type');
      this.lines = this.chunk ? this.chunk.childElementCount : 0;
      this.along = true;
      this.top = 0;
      this.wait = 500;
      this.keys.hidden = false;
      this.pause.addEventListener('click', () => this.source ? this.stop() : this.start());
      this.latest.addEventListener('click', () => this.toEnd());
      this.view.addEventListener('scroll', () => this.scrolled(), { passive: true });
      new ResizeObserver(() => this.along && this.toEnd()).observe(this.view);
      this.toEnd();
      this.start();
    }

    start() {
      clearTimeout(this.retry);
      const source = new EventSource(this.url);
      this.source = source;
      this.showPause();
      source.addEventListener('open', () => { this.wait = 500; });
      source.addEventListener('lines', (event) => {
        if (event.lastEventId) this.url.searchParams.set('after', event.lastEventId);
        this.append(event.data.split('\n'));
      });
      source.addEventListener('end', () => {
        this.stop();
        this.keys.hidden = true;
        this.view.dataset.ended = '';
      });
      source.addEventListener('bye', () => location.reload());
      source.addEventListener('error', () => {
        // A cut connection is taken up again by the browser; an answer that is
        // no stream (the server is starting) is for us to try again.
        if (source.readyState !== EventSource.CLOSED || this.source !== source) return;
        this.retry = setTimeout(() => this.start(), this.wait);
        this.wait = Math.min(this.wait * 2, 30000);
      });
    }

    // What comes meanwhile waits on the server.
    stop() {
      clearTimeout(this.retry);
      this.source.close();
      this.source = null;
      this.showPause();
    }

    showPause() {
      this.pause.textContent = this.source ? 'Pause' : 'Follow';
      this.pause.setAttribute('aria-pressed', String(!this.source));
    }

    append(lines) {
      this.view.querySelector('.log-empty')?.remove();
      while (lines.length > 0) {
        if (!this.chunk || this.lines >= CHUNK) {
          this.chunk = document.createElement('pre');
          this.chunk.className = 'chunk';
          this.view.append(this.chunk);
          this.lines = 0;
        }
        const some = lines.splice(0, CHUNK - this.lines);
        this.chunk.insertAdjacentHTML('beforeend', some.join('\n') + '\n');
        this.lines += some.length;
      }
      while (this.view.childElementCount > KEEP) this.view.firstElementChild.remove();
      if (this.along) this.toEnd();
    }

    toEnd() {
      this.along = true;
      this.latest.hidden = true;
      this.view.scrollTop = this.view.scrollHeight;
      this.top = this.view.scrollTop;
      // Chunks that come into sight get their real height only then.
      requestAnimationFrame(() => {
        if (!this.along) return;
        this.view.scrollTop = this.view.scrollHeight;
        this.top = this.view.scrollTop;
      });
    }

    // Only the reader moves up; what is appended moves the end down.
    scrolled() {
      const { scrollTop, scrollHeight, clientHeight } = this.view;
      if (scrollHeight - scrollTop - clientHeight <= AT_END) {
        this.along = true;
      } else if (scrollTop < this.top - 1) {
        this.along = false;
      }
      this.top = scrollTop;
      this.latest.hidden = this.along;
    }
  }

  for (const box of document.querySelectorAll('[data-follow]')) new Follower(box);
})();
