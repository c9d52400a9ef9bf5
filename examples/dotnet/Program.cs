// Call Telenor's API with the shared token, read through AWS's Secrets Manager Agent.
//
// Reads paths from stdin, one per line, and prints the status of each response: dotnet run
// Needs .NET 8 or newer, no other package, and the agent on this machine.

using System.Net;
using System.Text.Json;

static string Env(string name, string otherwise) => Environment.GetEnvironmentVariable(name) ?? otherwise;

var baseUrl = Env("TELENOR_BASE_URL", "https://api.telenor.no").TrimEnd('/');
var agentUrl = Env("AGENT_URL", "http://localhost:2773");
var agentTokenFile = Env("AGENT_TOKEN_FILE", "/var/run/awssmatoken");
// At least a minute less than the GRACE_SECONDS of the token job.
var cacheSeconds = int.Parse(Env("CACHE_SECONDS", "300"));

// Follow no redirect: the token stays at TELENOR_BASE_URL.
using var http = new HttpClient(new HttpClientHandler { AllowAutoRedirect = false }) { Timeout = TimeSpan.FromSeconds(10) };
using var reading = new SemaphoreSlim(1);
string? cached = null;
long readAt = 0;

// Return the shared token: from the cache, or read again if that is too old or was rejected.
async Task<string> Token(string? refused = null)
{
    await reading.WaitAsync();
    try
    {
        var now = Environment.TickCount64;
        if (cached is null || cached == refused || now - readAt >= cacheSeconds * 1000L)
        {
            // Bypass the agent's own cache, whose age would add to this one's.
            var query = "?refreshNow=true&secretId=" + Uri.EscapeDataString(Env("TOKEN_SECRET_ID", ""));
            var agentToken = (await File.ReadAllTextAsync(agentTokenFile)).Trim();
            using var answer = await Send($"{agentUrl}/secretsmanager/get{query}", "X-Aws-Parameters-Secrets-Token", agentToken);
            answer.EnsureSuccessStatusCode();
            using var secret = JsonDocument.Parse(await answer.Content.ReadAsStringAsync());
            using var document = JsonDocument.Parse(secret.RootElement.GetProperty("SecretString").GetString()!);
            // Set only after the read: a failed read must not extend the cache.
            cached = document.RootElement.GetProperty("access_token").GetString()!;
            readAt = now;
        }
        return cached;
    }
    finally
    {
        reading.Release();
    }
}

async Task<HttpResponseMessage> Send(string url, string header, string value)
{
    using var request = new HttpRequestMessage(HttpMethod.Get, url);
    request.Headers.Add(header, value);
    return await http.SendAsync(request);
}

// Send one request. Send the token only to TELENOR_BASE_URL: to no other host or port.
async Task<HttpStatusCode> Call(string path, string token)
{
    if (!path.StartsWith('/') || new Uri(baseUrl + path).Authority != new Uri(baseUrl).Authority)
    {
        throw new ArgumentException("a path must begin with / and stay at TELENOR_BASE_URL");
    }
    // The exception about an invalid header would show the token.
    if (token.Any(character => character is < ' ' or > '~'))
    {
        throw new ArgumentException("the token has characters that a header cannot carry");
    }
    using var answer = await Send(baseUrl + path, "Authorization", $"Bearer {token}");
    return answer.StatusCode;
}

// GET a path. On a 401 read the secret again, and repeat once if it has another token.
async Task<HttpStatusCode> Get(string path)
{
    var token = await Token();
    var status = await Call(path, token);
    if (status == HttpStatusCode.Unauthorized)
    {
        var current = await Token(refused: token);
        if (current != token)
        {
            status = await Call(path, current);
        }
    }
    return status;
}

while (await Console.In.ReadLineAsync() is { } line)
{
    Console.WriteLine((int)await Get(line.Trim()));
}
