// uWebSockets in C++ with its own publish and subscribe, as its examples do it: POST /publish goes to every
// WebSocket of /subscribe. It keeps no log.

#include "App.h"

#include <cstdio>
#include <memory>
#include <string>

struct Nothing {};

int main() {
    uWS::App app;
    app.ws<Nothing>("/subscribe", {
        .compression = uWS::DISABLED,
        .maxPayloadLength = 64 * 1024,
        .idleTimeout = 120,
        .maxBackpressure = 16 * 1024 * 1024,
        .sendPingsAutomatically = true,
        .open = [](auto *socket) { socket->subscribe("bench"); },
    });
    app.post("/publish", [&app](auto *response, auto *) {
        response->onAborted([] {});
        auto body = std::make_unique<std::string>();
        response->onData([&app, response, body = std::move(body)](std::string_view part, bool last) {
            body->append(part);
            if (last) {
                app.publish("bench", *body, uWS::OpCode::TEXT);
                response->writeStatus("204 No Content")->end();
            }
        });
    });
    app.listen("127.0.0.1", 0, [](us_listen_socket_t *socket) {
        if (!socket) return;
        std::printf("listening on %d\n", us_socket_local_port(0, (us_socket_t *) socket));
        std::fflush(stdout);
    });
    app.run();
}
