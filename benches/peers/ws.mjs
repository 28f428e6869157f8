// The `ws` package on Node.js, as its documentation broadcasts: POST /publish goes to every client of
// /subscribe, by WebSocket, or as Server-Sent Events written with node:http. It keeps no log.

import { createServer } from 'node:http';
import { WebSocket, WebSocketServer } from 'ws';

const streams = new Set();
const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });

function publish(message) {
  for (const socket of sockets.clients) {
    if (socket.readyState === WebSocket.OPEN) socket.send(message, { binary: false });
  }
  if (streams.size === 0) return;
  const event = `data: ${message.toString().replaceAll('\n', '\ndata: ')}\n\n`;
  for (const stream of streams) stream.write(event);
}

const server = createServer((request, response) => {
  if (request.method === 'POST') {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      publish(Buffer.concat(chunks));
      response.writeHead(204).end();
    });
    return;
  }
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  response.flushHeaders();
  streams.add(response);
  response.on('close', () => streams.delete(response));
});

server.on('upgrade', (request, socket, head) => {
  sockets.handleUpgrade(request, socket, head, (client) => client.on('error', () => client.terminate()));
});

server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  console.log(`listening on ${server.address().port}`);
});
