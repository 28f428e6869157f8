// The types of /tidings.js, and of window.tidings, which /tidings.classic.js makes.

/** A way of waiting for messages. */
export type Wire = 'websocket' | 'sse' | 'ndjson' | 'long-poll' | 'poll';

/**
 * `connecting`: no connection yet. `open`: messages come. `waiting`: for `retryMs`, until the next
 * try. `paused`: nobody sees the page. `closed`: for good.
 */
export type State = 'connecting' | 'open' | 'waiting' | 'paused' | 'closed';

/** A message (docs/protocol.md 2.3). */
export interface Message<Data = any> {
  topic: string;
  /** Its cursor in its topic. */
  id: string;
  /** When it was published, in milliseconds since 1970. */
  time: number;
  event?: string;
  content_type?: string;
  /** There if the payload is bytes. */
  encoding?: 'base64';
  data: Data;
}

/** Messages that are gone. */
export interface Gap {
  topic: string;
  /** How many, or null if nobody can know. */
  count: number | null;
}

/** An error with what the server said of it. */
export interface Refusal extends Error {
  status?: number;
  /** Which kind of problem it is. */
  type?: string;
  /** Whether asking again is of no use. */
  final?: boolean;
  retryMs?: number;
}

export interface StateDetail {
  via: Wire;
  /** With `waiting`: milliseconds until the next try. */
  retryMs?: number;
  /** Why the connection ended, or could not be had. */
  error?: Refusal;
}

export interface SubscribeOptions<Data = any> {
  /** Default: `auto`, the best wire that works. */
  via?: 'auto' | Wire;
  /** A cursor from before, or where to begin. Default: `latest`. */
  after?: 'earliest' | 'latest' | (string & {});
  /** Instead of `after`: begin so many messages before the head. */
  last?: number;
  /** Where the server is, with a slash at the end. Default: where the client came from. */
  url?: string | URL;
  onMessage?(message: Message<Data>): void;
  onGap?(gap: Gap): void;
  onState?(state: State, detail: StateDetail): void;
  /** If true, a page that nobody sees has no connection, and resumes where it was. */
  pauseWhenHidden?: boolean;
  /** If true, tabs of one origin share a connection, where the browser has Web Locks. */
  share?: boolean;
  /** Closes the subscription. */
  signal?: AbortSignal;
}

export interface Subscription {
  /** Ends it. No callback is called from then on, but `onState` with `closed`. */
  close(): void;
  /** Behind the last message that was handed over; goes into `after`. */
  readonly cursor: string;
  readonly state: State;
  /** The wire in use. */
  readonly via: Wire;
  /** HTTP requests and WebSocket handshakes that were made. */
  readonly requests: number;
  /** Bytes of bodies that were received. */
  readonly bytes: number;
  /** How often there was a connection again after one that had been open. */
  readonly reconnects: number;
}

export interface PublishOptions {
  /** The name of the event. */
  event?: string;
  /** 1 to 128 visible ASCII characters: the same key is published once. Default: a random one. */
  key?: string;
  contentType?: string;
  /** Where the server is, with a slash at the end. Default: where the client came from. */
  url?: string | URL;
  signal?: AbortSignal;
}

/** Receives the messages of a topic, or of several. */
export function subscribe<Data = any>(
  topics: string | readonly string[],
  options?: SubscribeOptions<Data>,
): Subscription;

/** Publishes a message and returns its id. */
export function publish(topic: string, data: unknown, options?: PublishOptions): Promise<string>;

/** What `EventSource` is to its code, on whichever wire works. */
export class TidingsEventSource extends EventTarget {
  constructor(
    url: string | URL,
    options?: Omit<SubscribeOptions, 'url' | 'onMessage' | 'onGap' | 'onState'>,
  );
  static readonly CONNECTING: 0;
  static readonly OPEN: 1;
  static readonly CLOSED: 2;
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSED: 2;
  readonly readyState: 0 | 1 | 2;
  readonly url: string;
  readonly withCredentials: false;
  readonly lastEventId: string;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent<string>) => void) | null;
  onerror: ((event: Event) => void) | null;
  close(): void;
}

declare global {
  interface Window {
    /** There once /tidings.classic.js has run. */
    tidings: {
      subscribe: typeof subscribe;
      publish: typeof publish;
      TidingsEventSource: typeof TidingsEventSource;
    };
  }
}
