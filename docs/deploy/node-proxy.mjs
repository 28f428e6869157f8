// Node in front of tidings, without packages: node node-proxy.mjs [LISTEN [TIDINGS]], two ports.

import http from 'node:http';

const [listen = '8000', tidings = '8080'] = process.argv.slice(2);
// Idle connections are let go before tidings does it (75 s), so that no request meets its close.
const agent = new http.Agent({ keepAlive: true, timeout: 60_000 });
// RFC 9110 §7.6.1: these are for one hop. Transfer-Encoding stays: it frames the body.
const ONE_HOP = ['connection', 'keep-alive', 'proxy-connection', 'te', 'upgrade'];

/** The headers to send on: `rawHeaders` without those for this hop, in pairs. */
function onward({ rawHeaders, headers }) {
  const named = (headers.connection ?? '').toLowerCase().split(',').map((name) => name.trim());
  const dropped = new Set([...ONE_HOP, ...named]);
  ['host', 'content-length', 'transfer-encoding'].forEach((name) => dropped.delete(name));
  const kept = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (!dropped.has(rawHeaders[at].toLowerCase())) kept.push(rawHeaders[at], rawHeaders[at + 1]);
  }
  return kept;
}

function ask(request, headers) {
  const { method, url: path } = request;
  return http.request({ host: '127.0.0.1', port: tidings, agent, method, path, headers });
}

const server = http.createServer((request, response) => {
  const asked = ask(request, onward(request));
  asked.on('response', (answer) => {
    response.writeHead(answer.statusCode, onward(answer));
    // The head of a stream goes out before its first message.
    response.flushHeaders();
    answer.on('error', () => response.destroy());
    answer.pipe(response);
  });
  asked.on('error', () => {
    if (response.headersSent) return response.destroy();
    return response.writeHead(502, { Connection: 'close' }).end();
  });
  // A client that is gone takes its poll or stream with it.
  response.on('close', () => asked.destroy());
  request.pipe(asked);
});

// Every request with Upgrade comes here and not above, with its connection.
server.on('upgrade', (request, socket, rest) => {
  const refuse = (status) => socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`);
  socket.on('error', () => socket.destroy());
  const hasBody = 'transfer-encoding' in request.headers || 'content-length' in request.headers;
  if (request.headers.upgrade.toLowerCase() !== 'websocket' || hasBody) {
    return refuse('400 Bad Request');
  }
  const asked = ask(request, [...onward(request), 'Connection', 'Upgrade', 'Upgrade', 'websocket']);
  asked.on('upgrade', (answer, upstream, first) => {
    const lines = [`HTTP/1.1 101 ${answer.statusMessage}`];
    for (let at = 0; at < answer.rawHeaders.length; at += 2) {
      lines.push(`${answer.rawHeaders[at]}: ${answer.rawHeaders[at + 1]}`);
    }
    socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    socket.write(first);
    upstream.write(rest);
    upstream.on('error', () => socket.destroy());
    upstream.on('close', () => socket.destroy());
    socket.on('close', () => upstream.destroy());
    upstream.pipe(socket).pipe(upstream);
    return undefined;
  });
  // Not 101: the connection ends here, so that nothing behind the request is taken for another.
  asked.on('response', (answer) => {
    answer.resume();
    refuse(`${answer.statusCode} ${answer.statusMessage}`);
  });
  asked.on('error', () => refuse('502 Bad Gateway'));
  return asked.end();
});

server.listen(Number(listen), '127.0.0.1', () => {
  console.log(`listening on port ${server.address().port}`);
});
