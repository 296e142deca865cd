using System.Text.Json.Nodes;

namespace KataLike.Conformance.Tests;

/// <summary>config.json as the sum of a plain one and what clauses ask for.</summary>
internal static class Config
{
    private const string Plain = """
        {
          "ociVersion": "1.0.2",
          "process": {
            "cwd": "/",
            "user": { "uid": 0, "gid": 0 },
            "env": ["PATH=/bin", "HOME=/"]
          },
          "root": { "path": "rootfs" },
          "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666", "mode=0620"] }
          ],
          "linux": {
            "namespaces": [{ "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }, { "type": "network" }]
          }
        }
        """;

    /// <param name="fragments">Each with the places that it names ("$BUNDLE") filled in.</param>
    public static JsonObject Of(IEnumerable<string> fragments, IEnumerable<string> arguments)
    {
        var config = JsonNode.Parse(Plain)!.AsObject();
        foreach (var fragment in fragments)
            Merge(config, JsonNode.Parse(fragment)!.AsObject());
        if (config["process"] is JsonObject process && process["args"] is null)
            process["args"] = new JsonArray([.. arguments.Select(argument => JsonValue.Create(argument))]);
        return config;
    }

    /// <summary>
    /// Objects are merged, arrays appended, all else replaced. "name=" replaces whatever was there, and with null takes it away.
    /// Of two equal items of an array one stays: clauses that share a container may need the same mount.
    /// </summary>
    public static void Merge(JsonObject target, JsonObject fragment)
    {
        foreach (var (name, value) in fragment)
        {
            if (name.EndsWith('='))
            {
                target.Remove(name[..^1]);
                if (value is not null)
                    target[name[..^1]] = value.DeepClone();
            }
            else if (value is JsonObject inner && target[name] is JsonObject existing)
                Merge(existing, inner);
            else if (value is JsonArray items && target[name] is JsonArray list)
                Append(list, items);
            else
                target[name] = value?.DeepClone();
        }
    }

    private static void Append(JsonArray list, JsonArray items)
    {
        foreach (var item in items)
        {
            if (!list.Any(present => JsonNode.DeepEquals(present, item)))
                list.Add(item?.DeepClone());
        }
    }
}
