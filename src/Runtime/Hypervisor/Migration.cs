using System.Text.Json;
using System.Text.Json.Nodes;
using KataLike.Linux;

namespace KataLike.Runtime.Hypervisor;

/// <summary>Saving a machine to a file and bringing it back, which QEMU calls migration.</summary>
internal static class Migration
{
    /// <summary>Runs to its end. Memory that is shared with us stays where it is: only the rest is written or read.</summary>
    /// <param name="command">"migrate" or "migrate-incoming".</param>
    /// <param name="state">The file; it stays the caller's.</param>
    /// <exception cref="QmpException">It failed, or QEMU ended.</exception>
    public static async Task RunAsync(QmpClient qmp, string command, FileDescriptor state)
    {
        var ended = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        void Note(string name, JsonElement? data)
        {
            if (name == "MIGRATION" && data?.GetProperty("status").GetString() is ("completed" or "failed") and var status)
                ended.TrySetResult(status);
        }
        qmp.Event += Note;
        try
        {
            await qmp.ExecuteAsync("migrate-set-capabilities", new JsonObject
            {
                ["capabilities"] = new JsonArray(Capability("events"), Capability("x-ignore-shared")),
            });
            await qmp.ExecuteAsync("getfd", new JsonObject { ["fdname"] = "state" }, state);
            await qmp.ExecuteAsync(command, new JsonObject { ["uri"] = "fd:state" });
            var status = await Task.WhenAny(ended.Task, qmp.Closed) == ended.Task ? await ended.Task : await qmp.Closed;
            if (status != "completed")
                throw new QmpException($"qmp: {command}: {status}");
        }
        finally
        {
            qmp.Event -= Note;
        }
    }

    private static JsonObject Capability(string name) => new() { ["capability"] = name, ["state"] = true };
}
