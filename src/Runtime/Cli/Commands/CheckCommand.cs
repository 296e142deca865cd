using System.Text;
using System.Text.Json;
using KataLike.Runtime.Deploy;

namespace KataLike.Runtime.Cli.Commands;

internal static class CheckCommand
{
    public static Command Command { get; } = new("check", "tell what this host can and cannot do, and how to mend it", RunAsync)
    {
        Arguments = "",
        MinimumArguments = 0,
        MaximumArguments = 0,
        Flags = [Flag.Boolean("json", "print an array of objects")],
        Description = """
            One line for each thing: "ok"; "note" for what could be better or is not set up; "missing" for what no sandbox
            runs without. The exit code is 0 if sandboxes can run, else 1.
            """,
    };

    private static Task<int> RunAsync(Invocation invocation)
    {
        var checks = HostChecks.Run(new Host(""), invocation.Global.ConfigurationPath);
        StandardStreams.WriteOutput(invocation.Options.Boolean("json") ? Json(checks) : string.Concat(checks.Select(check => $"{check}\n")));
        return Task.FromResult(checks.Any(check => check.Status == CheckStatus.Missing) ? 1 : 0);
    }

    private static string Json(IReadOnlyList<HostCheck> checks)
    {
        using var bytes = new MemoryStream();
        using (var json = new Utf8JsonWriter(bytes, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartArray();
            foreach (var check in checks)
            {
                json.WriteStartObject();
                json.WriteString("name", check.Name);
                json.WriteString("status", check.Status.ToString().ToLowerInvariant());
                json.WriteString("found", check.Found);
                if (check.Remedy is { } remedy)
                    json.WriteString("remedy", remedy);
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        return Encoding.UTF8.GetString(bytes.ToArray()) + "\n";
    }
}
