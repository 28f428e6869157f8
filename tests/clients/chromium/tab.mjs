// A tab with a subscription of `/tidings.js`, and all that it called back with.

import { Inbox, within } from '../harness.mjs';

export class Tab {
  heard = new Inbox(); // messages, and gaps as { gap }
  states = new Inbox(); // { state, via, retryMs?, error? }

  /** A new tab of `context` at `base`; it subscribes with the module that the server there has. */
  static async open(context, base, topics, options = {}) {
    const tab = await Tab.blank(context, base);
    await tab.subscribe(topics, options);
    return tab;
  }

  static async blank(context, base) {
    const tab = new Tab();
    tab.page = await context.newPage();
    await tab.page.exposeFunction('tellTest', (list, item) => tab[list].push(item));
    await tab.page.goto(`${base}/healthz`);
    return tab;
  }

  /** `client`: 'module', or 'classic', in a script of its own as in a page without modules. */
  async subscribe(topics, { client = 'module', ...options }) {
    await this.page.evaluate(async ([topics, options, client]) => {
      if (client === 'classic') {
        const script = Object.assign(document.createElement('script'), {
          src: '/tidings.classic.js',
        });
        const loaded = new Promise((resolve) => (script.onload = resolve));
        document.head.append(script);
        await loaded;
      } else {
        window.tidings = await import('/tidings.js');
      }
      window.subscription = window.tidings.subscribe(topics, {
        ...options,
        onMessage: ({ data }) => window.tellTest('heard', { data }),
        onGap: (gap) => window.tellTest('heard', { gap }),
        onState: (state, { via, retryMs, error }) => window.tellTest('states', {
          state, via, retryMs, error: error?.message,
        }),
      });
    }, [topics, options, client]);
  }

  /** The first state of that name behind the first `skip`, once it is there. */
  async reached(state, skip = 0) {
    for (let count = skip + 1; ; count += 1) {
      const last = (await this.states.atLeast(count, `the state ${state}`)).at(-1);
      if (last.state === state) return last;
    }
  }

  /** The data of the first `count` messages; a gap among them is a failure. */
  async texts(count) {
    const items = await this.heard.atLeast(count);
    const gap = items.find((item) => item.gap);
    if (gap) throw new Error(`no message: ${JSON.stringify(gap)}`);
    return items.map(({ data }) => data);
  }

  /** What `subscription` has under that name. */
  property(name) {
    return this.page.evaluate((name) => window.subscription[name], name);
  }

  /** As if the tab were covered by another one, or shown again. */
  async setHidden(isHidden) {
    await this.page.evaluate((isHidden) => {
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => isHidden });
      document.dispatchEvent(new Event('visibilitychange'));
    }, isHidden);
  }

  /** Stops all of the page's tasks, as browsers do with tabs in the background, or goes on. */
  async setFrozen(isFrozen) {
    // The debugger can do it whether or not the browser would.
    this.debugger ??= await this.page.context().newCDPSession(this.page);
    if (!isFrozen) return this.debugger.send('Debugger.resume');
    const stopped = new Promise((resolve) => this.debugger.once('Debugger.paused', resolve));
    await this.debugger.send('Debugger.enable');
    await this.debugger.send('Debugger.pause');
    this.page.evaluate(() => {}).catch(() => {}); // The next thing that it would run.
    await within(stopped, 'the page stands still');
  }

  /** Ends the page's process. */
  async crash() {
    const session = await this.page.context().newCDPSession(this.page);
    const crashed = new Promise((resolve) => this.page.once('crash', resolve));
    session.send('Page.crash').catch(() => {}); // It cannot answer.
    await crashed;
  }
}
