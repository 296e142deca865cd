namespace KataLike.Runtime.Shim;

/// <summary>The shim's command line, written the way Go's flag package reads it: -name value, -name=value, --name.</summary>
internal sealed record ShimArguments
{
    public string Namespace { get; private set; } = "";

    /// <summary>containerd's gRPC address.</summary>
    public string Address { get; private set; } = "";

    public string PublishBinary { get; private set; } = "";

    public string Id { get; private set; } = "";

    /// <summary>Only given to delete; the working directory is the bundle too.</summary>
    public string Bundle { get; private set; } = "";

    public bool Debug { get; private set; }

    public bool Version { get; private set; }

    public bool Info { get; private set; }

    /// <summary>"start", "delete" or nothing.</summary>
    public string Action { get; private set; } = "";

    /// <exception cref="RuntimeException">A flag that is not known, or a value that is missing or wrong.</exception>
    public static ShimArguments Parse(IReadOnlyList<string> arguments)
    {
        var parsed = new ShimArguments();
        for (var i = 0; i < arguments.Count; i++)
        {
            if (arguments[i] is not ['-', _, ..] || arguments[i] == "--")
            {
                parsed.Action = arguments[i] == "--" ? arguments.ElementAtOrDefault(i + 1) ?? "" : arguments[i];
                break;
            }
            var flag = arguments[i].TrimStart('-').Split('=', 2);
            if (parsed.SetSwitch(flag[0], flag.ElementAtOrDefault(1)))
                continue;
            var value = flag.Length == 2 ? flag[1]
                : i + 1 < arguments.Count ? arguments[++i]
                : throw new RuntimeException($"flag needs an argument: -{flag[0]}", exitCode: 2);
            parsed.SetValue(flag[0], value);
        }
        return parsed;
    }

    private bool SetSwitch(string name, string? value)
    {
        if (name is not ("debug" or "v" or "version" or "info"))
            return false;
        var on = value switch
        {
            null or "1" or "t" or "T" or "true" or "TRUE" or "True" => true,
            "0" or "f" or "F" or "false" or "FALSE" or "False" => false,
            _ => throw new RuntimeException($"invalid boolean value \"{value}\" for -{name}", exitCode: 2),
        };
        _ = name switch { "debug" => Debug = on, "info" => Info = on, _ => Version = on };
        return true;
    }

    private void SetValue(string name, string value) => _ = name switch
    {
        "namespace" => Namespace = value,
        "address" => Address = value,
        "publish-binary" => PublishBinary = value,
        "id" => Id = value,
        "bundle" => Bundle = value,
        // Accepted for their callers' sake: the socket's place is decided here, and there is no debug socket.
        "socket" or "debug-socket" => "",
        _ => throw new RuntimeException($"flag provided but not defined: -{name}", exitCode: 2),
    };
}
