// Java's HttpClient with its defaults: on every clear-text connection it first asks for an upgrade to h2c.

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;

public class Client {
    static void check(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }

    static HttpRequest.Builder request(String uri) {
        return HttpRequest.newBuilder(URI.create(uri)).timeout(Duration.ofSeconds(20));
    }

    public static void main(String[] arguments) throws Exception {
        String base = arguments[0];
        HttpClient client = HttpClient.newHttpClient();
        for (int i = 0; i < 3; i++) {
            var me = client.send(request(base + "/api/v2/users/me").build(), BodyHandlers.ofString());
            check(me.statusCode() == 200, "me: " + me);
            check(me.version() == HttpClient.Version.HTTP_1_1, "the upgrade to h2c is not for a proxy to grant");
        }
        var echo = client.send(
            request(base + "/api/v2/echo").POST(BodyPublishers.ofString("body")).build(), BodyHandlers.ofString());
        check(echo.body().contains("\"bytes\":4"), echo.body());
        check(!echo.body().toLowerCase().contains("h2c"), "the upgrade was passed on: " + echo.body());
        byte[] megabyte = new byte[1 << 20];
        var upload = client.send(
            request(base + "/api/v2/upload").PUT(BodyPublishers.ofByteArray(megabyte)).expectContinue(true).build(),
            BodyHandlers.ofString());
        check(upload.body().contains("1048576"), upload.body());
        var large = client.send(request(base + "/api/v2/large?bytes=3000000").build(), BodyHandlers.ofByteArray());
        check(large.body().length == 3000000, "large: " + large.body().length);

        var answers = new ArrayList<CompletableFuture<HttpResponse<String>>>();
        for (int i = 0; i < 50; i++) {
            answers.add(client.sendAsync(request(base + "/api/v2/users/me").build(), BodyHandlers.ofString()));
        }
        for (var answer : answers) {
            check(answer.get(20, TimeUnit.SECONDS).statusCode() == 200, "one of many");
        }
        System.out.println("ok HttpClient");

        var received = new CompletableFuture<String>();
        var closed = new CompletableFuture<Integer>();
        var socket = client.newWebSocketBuilder().buildAsync(
            URI.create(base.replace("http://", "ws://") + "/api/v2/ws"),
            new WebSocket.Listener() {
                private final StringBuilder text = new StringBuilder();

                @Override
                public CompletionStage<?> onText(WebSocket from, CharSequence piece, boolean last) {
                    text.append(piece);
                    if (last) received.complete(text.toString());
                    from.request(1);
                    return null;
                }

                @Override
                public CompletionStage<?> onClose(WebSocket from, int status, String reason) {
                    closed.complete(status);
                    return null;
                }
            }).get(20, TimeUnit.SECONDS);
        String message = "hello ".repeat(1000);
        socket.sendText(message, true);
        check(received.get(20, TimeUnit.SECONDS).equals(message), "the echo");
        socket.sendClose(WebSocket.NORMAL_CLOSURE, "");
        check(closed.get(20, TimeUnit.SECONDS) == WebSocket.NORMAL_CLOSURE, "the close");
        System.out.println("ok WebSocket");
        System.exit(0);
    }
}
