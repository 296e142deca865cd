using KataLike.Runtime.Cli;

namespace KataLike.Runtime.Sandboxes;

/// <summary>Which door the sandbox process serves: it ends with the last container (command line), or when it is told to.</summary>
internal enum Door { Cli, Shim }

/// <summary>
/// The words after <c>katalike sandbox</c>. Only our own command line and shim say them, so they are strict and without
/// short forms.
/// </summary>
internal sealed record SandboxArguments
{
    public required string Root { get; init; }
    public required string Id { get; init; }
    public required string Bundle { get; init; }
    public required Door Door { get; init; }

    /// <summary>A listening socket for ttrpc; null: task.sock in the sandbox's directory.</summary>
    public int? ListenDescriptor { get; init; }

    /// <summary>Where one line says that the sockets listen, or what went wrong.</summary>
    public int? ReadyDescriptor { get; init; }

    /// <summary>Where marks of the timeline are written; null: nobody asked for one.</summary>
    public int? TimelineDescriptor { get; init; }

    public string? Configuration { get; init; }

    public LogOptions Log { get; init; } = new(null, Json: false, Debug: false);

    public string Namespace { get; init; } = "";
    public string ContainerdTtrpc { get; init; } = "";
    public string Address { get; init; } = "";

    /// <exception cref="RuntimeException">An unknown word, or one that is missing.</exception>
    public static SandboxArguments Parse(ReadOnlySpan<string> words)
    {
        var values = new Dictionary<string, string>();
        var debug = false;
        for (var i = 0; i < words.Length; i++)
        {
            if (words[i] == "--debug")
                debug = true;
            else if (words[i].StartsWith("--", StringComparison.Ordinal) && i + 1 < words.Length)
                values[words[i][2..]] = words[++i];
            else
                throw new RuntimeException($"sandbox: unexpected argument {words[i]}");
        }
        string Required(string name) =>
            values.Remove(name, out var value) ? value : throw new RuntimeException($"sandbox: --{name} is missing");
        int? Descriptor(string name) => values.Remove(name, out var value)
            ? int.TryParse(value, out var number) ? number : throw new RuntimeException($"sandbox: --{name} {value} is no number")
            : null;
        string? Optional(string name) => values.Remove(name, out var value) ? value : null;

        var arguments = new SandboxArguments
        {
            Root = Required("root"),
            Id = Required("id"),
            Bundle = Required("bundle"),
            Door = Required("door") switch
            {
                "cli" => Door.Cli,
                "shim" => Door.Shim,
                var other => throw new RuntimeException($"sandbox: unknown door {other}"),
            },
            ListenDescriptor = Descriptor("listen-fd"),
            ReadyDescriptor = Descriptor("ready-fd"),
            TimelineDescriptor = Descriptor("timeline-fd"),
            Configuration = Optional("config"),
            Log = new LogOptions(Optional("log"), Json: Optional("log-format") == "json", debug),
            Namespace = Optional("namespace") ?? "",
            ContainerdTtrpc = Optional("containerd-ttrpc") ?? "",
            Address = Optional("address") ?? "",
        };
        values.Remove("publish-binary");
        return values.Count == 0 ? arguments : throw new RuntimeException($"sandbox: unknown option --{values.Keys.First()}");
    }
}
