// Loaded into a Node proxy by the tests: it says what the proxy did, and forbids one topic.

import http from 'node:http';

const { createServer, request } = http;

http.request = function counting(...options) {
  const asked = request.apply(this, options);
  asked.on('response', () => console.log('answered'));
  asked.on('upgrade', () => console.log('answered'));
  return asked;
};

http.createServer = (serve) => createServer((asked, response) => {
  if (asked.url.includes('/topics/smuggled')) return response.writeHead(403).end();
  return serve(asked, response);
});
