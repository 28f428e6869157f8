// Loaded into a Node proxy by the tests: it says what the proxy did, and forbids one topic.

import http from 'node:http';

const { createServer, request } = http;

http.request = function counting(...options) {
  const asked = request.apply(this, options);
  let isAnswered = false;
  const answered = () => {
    isAnswered = true;
    console.log('answered');
  };
  asked.on('response', answered);
  asked.on('upgrade', answered);
  asked.on('close', () => isAnswered || console.log('given up'));
  return asked;
};

http.createServer = (serve) => createServer((asked, response) => {
  if (asked.url.includes('/topics/smuggled')) return response.writeHead(403).end();
  return serve(asked, response);
});
