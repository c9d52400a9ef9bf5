// Call Telenor's API with the shared token, read through AWS's Secrets Manager Agent.
//
// Reads paths from stdin, one per line, and prints the status of each response: java WithAgent.java
// Needs Java 17 or newer, no other package, and the agent on this machine.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.regex.Pattern;

import static java.nio.charset.StandardCharsets.UTF_8;

public class WithAgent {
    static final String BASE_URL = env("TELENOR_BASE_URL", "https://api.telenor.no").replaceAll("/+$", "");
    static final String AGENT_URL = env("AGENT_URL", "http://localhost:2773");
    static final Path AGENT_TOKEN_FILE = Path.of(env("AGENT_TOKEN_FILE", "/var/run/awssmatoken"));
    // At least a minute less than the GRACE_SECONDS of the token job.
    static final long CACHE_NANOS = Duration.ofSeconds(Long.parseLong(env("CACHE_SECONDS", "300"))).toNanos();
    // The document is text within the agent's JSON. A token has neither quotes nor backslashes (RFC 6750, section 2.1).
    static final Pattern TOKEN = Pattern.compile("\\\\\"access_token\\\\\": *\\\\\"([!#-\\[\\]-~]+)\\\\\"");

    // Follow no redirect: the token stays at TELENOR_BASE_URL.
    static final HttpClient http = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NEVER).build();
    static String cached;
    static long readAt;

    static String env(String name, String otherwise) {
        return System.getenv().getOrDefault(name, otherwise);
    }

    /** Return the shared token: from the cache, or read again if that is too old or was rejected. */
    static synchronized String token(String refused) throws IOException, InterruptedException {
        long now = System.nanoTime();
        if (cached == null || cached.equals(refused) || now - readAt >= CACHE_NANOS) {
            // Bypass the agent's own cache, whose age would add to this one's.
            String query = "?refreshNow=true&secretId=" + URLEncoder.encode(System.getenv("TOKEN_SECRET_ID"), UTF_8);
            HttpResponse<String> answer = send(URI.create(AGENT_URL + "/secretsmanager/get" + query),
                    "X-Aws-Parameters-Secrets-Token", Files.readString(AGENT_TOKEN_FILE).strip());
            var found = TOKEN.matcher(answer.body());
            if (answer.statusCode() != 200 || !found.find()) {
                throw new IOException("the agent answered " + answer.statusCode());
            }
            // Set only after the read: a failed read must not extend the cache.
            cached = found.group(1);
            readAt = now;
        }
        return cached;
    }

    static HttpResponse<String> send(URI url, String header, String value) throws IOException, InterruptedException {
        var request = HttpRequest.newBuilder(url).header(header, value).timeout(Duration.ofSeconds(10)).build();
        return http.send(request, HttpResponse.BodyHandlers.ofString());
    }

    /** Send one request. Send the token only to TELENOR_BASE_URL: to no other host or port. */
    static int call(String path, String token) throws IOException, InterruptedException {
        URI url = URI.create(path.startsWith("/") ? BASE_URL + path : "");
        if (!URI.create(BASE_URL).getAuthority().equals(url.getAuthority())) {
            throw new IllegalArgumentException("a path must begin with / and stay at TELENOR_BASE_URL");
        }
        return send(url, "Authorization", "Bearer " + token).statusCode();
    }

    /** GET a path. On a 401 read the secret again, and repeat once if it has another token. */
    static int get(String path) throws IOException, InterruptedException {
        String token = token(null);
        int status = call(path, token);
        if (status == 401) {
            String current = token(token);
            if (!current.equals(token)) {
                status = call(path, current);
            }
        }
        return status;
    }

    public static void main(String[] arguments) throws IOException, InterruptedException {
        var lines = new BufferedReader(new InputStreamReader(System.in, UTF_8));
        for (String line; (line = lines.readLine()) != null;) {
            System.out.println(get(line.strip()));
        }
    }
}
