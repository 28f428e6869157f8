// The package `http-proxy` in front of tidings, as its README has it, but with connections kept.

import http from 'node:http';

import { tool } from '../tools.mjs';

const [listen, tidings] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true });
const proxy = tool('http-proxy').createProxyServer({ target: `http://127.0.0.1:${tidings}`, agent });
proxy.on('error', (error, request, client) => {
  if (client.writeHead && !client.headersSent) client.writeHead(502, { Connection: 'close' });
  client.end();
});

const server = http.createServer((request, response) => proxy.web(request, response));
server.on('upgrade', (request, socket, head) => {
  // The package has no ear for a client that is reset after a refused handshake: it would end us all.
  socket.on('error', () => socket.destroy());
  proxy.ws(request, socket, head);
});
server.listen(Number(listen), '127.0.0.1');
