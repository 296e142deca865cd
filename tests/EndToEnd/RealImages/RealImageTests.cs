using System.Text.RegularExpressions;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.RealImages;

/// <summary>Programs as they are in Debian, each with the same result under runc.</summary>
public sealed partial class RealImageTests(RealImages images) : IClassFixture<RealImages>
{
    [SkippableTheory]
    [InlineData("ctr", "katalike")]
    [InlineData("ctr", "runc")]
    [InlineData("podman", "katalike")]
    [InlineData("podman", "runc")]
    public async Task Debian_has_apt_perl_and_its_locale(string engine, string runtime)
    {
        Require();
        var id = NewId();
        var run = await images.Engine(engine).RunAsync(runtime, "debian", id, "sh", "-ec", """
            apt-get --version | head -1
            perl -e 'print join(",", map { $_ * $_ } 1..5), "\n"'
            LC_ALL=C.UTF-8 perl -CS -Mutf8 -e 'print length("häß"), "\n"'
            LC_ALL=C.UTF-8 locale charmap
            getent passwd www-data
            dpkg -l | grep -c '^ii  '
            find / -xdev -user root -perm -4000 | sort | head -1
            """);
        Assert.True(run.ExitCode == 0, $"{run}\n{images.Engine(engine).Log}");
        var lines = run.Text.Split('\n');
        Assert.StartsWith("apt 2.", lines[0], StringComparison.Ordinal);
        Assert.Equal(["1,4,9,16,25", "3", "UTF-8", "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin"], lines[1..5]);
        Assert.InRange(int.Parse(lines[5], System.Globalization.CultureInfo.InvariantCulture), 80, 200);
        Assert.StartsWith("/usr/bin/", lines[6], StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("ctr", "katalike")]
    [InlineData("ctr", "runc")]
    [InlineData("podman", "katalike")]
    [InlineData("podman", "runc")]
    public async Task Redis_keeps_what_it_was_told_over_an_orderly_stop(string engine, string runtime)
    {
        Require();
        var redis = await ServeAsync(engine, runtime, "redis", "redis-server", "--dir", "/var/lib/redis", "--save", "900", "1", "--daemonize", "no");
        async Task AnswersAsync() => await redis.UntilAsync("answers", async () => (await redis.ExecAsync("redis-cli", "ping")).Text == "PONG");

        await AnswersAsync();
        Assert.Equal("OK", await redis.AskAsync("redis-cli", "set", "key", "value"));
        Assert.Equal("value", await redis.AskAsync("redis-cli", "get", "key"));
        Assert.Equal("1000", await redis.AskAsync("redis-cli", "eval", "for i = 1, 1000 do redis.call('rpush', 'list', i) end return redis.call('llen', 'list')", "0"));

        Assert.Equal(0, await redis.StopAsync("SIGTERM"));
        await redis.StartAgainAsync();
        await AnswersAsync();
        Assert.Equal("value", await redis.AskAsync("redis-cli", "get", "key"));
        Assert.Equal("1000", await redis.AskAsync("redis-cli", "llen", "list"));
        Assert.Equal("redis", await redis.AskAsync("stat", "-c", "%U", "/var/lib/redis/dump.rdb"));
        await redis.RemoveAsync();
    }

    [SkippableTheory]
    [InlineData("ctr", "katalike")]
    [InlineData("ctr", "runc")]
    [InlineData("podman", "katalike")]
    [InlineData("podman", "runc")]
    public async Task Nginx_serves_a_page(string engine, string runtime)
    {
        Require();
        var nginx = await ServeAsync(engine, runtime, "nginx", "nginx", "-g", "daemon off;");
        string[] get = ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3"];
        await nginx.UntilAsync("serves", async () => (await nginx.ExecAsync(get)).ExitCode == 0);

        var page = await nginx.AskAsync(get);
        Assert.StartsWith("HTTP/1.1 200 OK", page, StringComparison.Ordinal);
        Assert.Contains("Welcome to nginx", page, StringComparison.Ordinal);
        // A worker of another user than the master's, and its log in a file.
        Assert.Contains("33", await nginx.AskAsync("sh", "-c", "for p in /proc/[0-9]*; do stat -c %u $p; done"), StringComparison.Ordinal);
        Assert.Contains("\"GET / HTTP/1.0\" 200", await nginx.AskAsync("cat", "/var/log/nginx/access.log"), StringComparison.Ordinal);

        Assert.Equal(0, await nginx.StopAsync("SIGQUIT"));
        await nginx.RemoveAsync();
    }

    [SkippableTheory]
    [InlineData("ctr", "katalike")]
    [InlineData("ctr", "runc")]
    [InlineData("podman", "katalike")]
    [InlineData("podman", "runc")]
    public async Task Postgresql_commits_and_keeps_its_data_over_a_restart(string engine, string runtime)
    {
        Require();
        var postgresql = await ServeAsync(engine, runtime, "postgresql", "bash", "-ec", """
            export PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/var/lib/postgresql/data
            test -e $PGDATA/PG_VERSION || initdb --no-sync --wal-segsize=1 --locale=C.UTF-8 >/tmp/initdb.log
            exec postgres -c unix_socket_directories=/tmp
            """);
        async Task ReadyAsync() => await postgresql.UntilAsync("is ready", async () => (await SqlAsync("select 1")).Text == "1");
        Task<CommandResult> SqlAsync(string statement) =>
            postgresql.ExecAsync("/usr/lib/postgresql/15/bin/psql", "-h", "/tmp", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", statement);

        await ReadyAsync();
        var made = await SqlAsync("create table t (n int primary key); insert into t select generate_series(1, 1000)");
        Assert.True(made.ExitCode == 0, made.ToString());
        var refused = await SqlAsync("begin; insert into t values (1001); insert into t values (1); commit");
        Assert.Contains("duplicate key", refused.Error + refused.Text, StringComparison.Ordinal);
        Assert.Equal("1000|500500", (await SqlAsync("select count(*), sum(n) from t")).Text);

        Assert.Equal(0, await postgresql.StopAsync("SIGINT"));
        await postgresql.StartAgainAsync();
        await ReadyAsync();
        Assert.Equal("1000|500500", (await SqlAsync("select count(*), sum(n) from t")).Text);
        Assert.Equal(0, await postgresql.StopAsync("SIGINT"));
        await postgresql.RemoveAsync();
    }

    /// <summary>Python's own tests of what it asks of the kernel: katalike fails none that runc passes.</summary>
    [SkippableTheory]
    [InlineData("ctr", "test_os")]
    [InlineData("ctr", "test_socket")]
    [InlineData("podman", "test_os")]
    [InlineData("podman", "test_socket")]
    public async Task Python_passes_its_own_tests(string engine, string module)
    {
        Require();
        var runc = await TestsAsync(engine, "runc", module);
        var ours = await TestsAsync(engine, "katalike", module);
        Assert.True(ours.Count > 200 && ours.Count == runc.Count, $"{ours.Count} tests here, {runc.Count} under runc");
        Assert.Empty(ours.Where(test => test.Value is "FAIL" or "ERROR" && runc[test.Key] is "ok").Select(test => test.Key));
        Assert.True(ours.Values.Count(result => result == "ok") > 150, string.Join('\n', ours));
    }

    private async Task<Dictionary<string, string>> TestsAsync(string engine, string runtime, string module)
    {
        var python = await ServeAsync(engine, runtime, "python", "sh", "-c", $"echo 127.0.0.1 localhost >/etc/hosts; cd /tmp; python3 -m unittest -v test.{module} >results 2>&1; touch finished; exec sleep 100000");
        await python.UntilAsync("the tests have finished", async () => (await python.ExecAsync("test", "-e", "/tmp/finished")).ExitCode == 0);
        var results = new Dictionary<string, string>();
        Read(await python.AskAsync("cat", "/tmp/results"), results);
        // As Python's own runner does: some compare two clocks to 20 ms, which a busy machine may miss.
        var failed = results.Where(test => test.Value is "FAIL" or "ERROR").Select(test => test.Key).ToList();
        if (failed.Count > 0)
            Read(await python.AskAsync("sh", "-c", $"cd /tmp; python3 -m unittest -v {string.Join(' ', failed)} 2>&1; true"), results);
        await python.RemoveAsync();
        return results;
    }

    private static void Read(string text, Dictionary<string, string> results)
    {
        // "test_x (test.test_os.Class.test_x)", perhaps a line of documentation, "... ok"; skipped carries its reason.
        foreach (Match test in TestResult().Matches(text))
            results[test.Groups["name"].Value] = test.Groups["result"].Value;
    }

    [GeneratedRegex(@"^\w+ \((?<name>[\w.]+)\)(?:\n[^\n]*)?? \.\.\. (?:[^\n]*\n)*?[^\n]*?(?<result>ok|FAIL|ERROR|skipped|expected failure)", RegexOptions.Multiline)]
    private static partial Regex TestResult();

    private async Task<Service> ServeAsync(string engine, string runtime, string image, params string[] command)
    {
        var id = NewId();
        var started = await images.Engine(engine).StartAsync(runtime, image, id, command);
        Assert.True(started.ExitCode == 0, $"{started}\n{images.Engine(engine).Log}");
        return new Service(images.Engine(engine), id);
    }

    private void Require() => Skip.If(images.Missing is not null, images.Missing);

    private static string NewId() => $"kl-{Guid.NewGuid():N}"[..12];
}
