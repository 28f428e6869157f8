// Bun with its own publish and subscribe, as its documentation shows: the fan-out is native code, a
// descendant of uWebSockets. POST /publish goes to every WebSocket of /subscribe. It keeps no log.

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  idleTimeout: 0,
  async fetch(request, server) {
    if (request.method === 'POST') {
      server.publish('bench', await request.text());
      return new Response(null, { status: 204 });
    }
    if (server.upgrade(request)) return undefined;
    return new Response('a WebSocket is expected', { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 120,
    sendPings: true,
    open: (socket) => socket.subscribe('bench'),
    message() {},
  },
});

console.log(`listening on ${server.port}`);
