// What stands behind Pushpin: it says which clients are held open, and turns POST /publish into what
// Pushpin's control port takes. It is an application of Pushpin's user, so it is not counted as Pushpin.

import { createServer, Agent, request as send } from 'node:http';

const control = Number(process.argv[2]);
// One connection, so that messages stay in order.
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

function publish(content, done) {
  const formats = {
    'http-stream': { content: `data: ${content.replaceAll('\n', '\ndata: ')}\n\n` },
    'ws-message': { content },
  };
  const body = JSON.stringify({ items: [{ channel: 'bench', formats }] });
  const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
  const path = '/publish/';
  const onward = send({ host: '127.0.0.1', port: control, path, method: 'POST', agent, headers });
  onward.on('response', (answer) => answer.resume().on('end', () => done(answer.statusCode)));
  onward.on('error', () => done(502));
  onward.end(body);
}

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const body = Buffer.concat(chunks);
    if (request.url === '/publish') {
      publish(body.toString(), (status) => response.writeHead(status).end());
    } else if (request.url === '/ready') {
      response.end();
    } else if (request.headers['content-type'] === 'application/websocket-events') {
      const subscribe = 'c:{"type":"subscribe","channel":"bench"}';
      const opened = `OPEN\r\nTEXT ${subscribe.length.toString(16)}\r\n${subscribe}\r\n`;
      response.setHeader('Content-Type', 'application/websocket-events');
      const isNew = body.toString().startsWith('OPEN');
      if (isNew) response.setHeader('Sec-WebSocket-Extensions', 'grip');
      response.end(isNew ? opened : '');
    } else {
      response.setHeader('Content-Type', 'text/event-stream');
      response.setHeader('Grip-Hold', 'stream');
      response.setHeader('Grip-Channel', 'bench');
      response.end();
    }
  });
});

server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  console.log(`listening on ${server.address().port}`);
});
