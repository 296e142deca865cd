namespace KataLike.Contract.Oci;

/// <summary>What config.json must obey beyond its JSON form; as strict as runc.</summary>
/// <remarks>What depends on the machine (does a path exist, is a sysctl namespaced) is checked where it is used.</remarks>
internal static class SpecRules
{
    public static void Check(Spec spec)
    {
        if (!IsVersion1(spec.OciVersion))
            throw new OciException("$.ociVersion", $"version {spec.OciVersion} is not supported, 1.x is");

        ProcessRules.Check(spec.Process ?? throw new OciException("$.process", "is missing"), "$.process");
        NotEmpty((spec.Root ?? throw new OciException("$.root", "is missing")).Path, "$.root.path");
        MountRules.Check(spec.Mounts, spec.Linux, "$.mounts");
        CheckHooks(spec.Hooks);
        if (spec.Linux is { } linux)
            LinuxRules.Check(linux, "$.linux");

        if (spec.Hostname is { Length: > 0 } && spec.Linux?.FindNamespace("uts") is null)
            throw new OciException("$.hostname", "needs a uts namespace");
        if (spec.Domainname is { Length: > 0 } && spec.Linux?.FindNamespace("uts") is null)
            throw new OciException("$.domainname", "needs a uts namespace");
    }

    /// <summary>Applies a rule to each item, with its path.</summary>
    public static void Each<T>(IReadOnlyList<T>? items, string path, Action<T, string> rule)
    {
        for (int i = 0; i < items?.Count; i++)
            rule(items[i], $"{path}[{i}]");
    }

    public static void NotEmpty(string value, string path)
    {
        if (value.Length == 0)
            throw new OciException(path, "must not be empty");
    }

    public static void Absolute(string value, string path)
    {
        NotEmpty(value, path);
        if (value[0] != '/')
            throw new OciException(path, $"{value} must be an absolute path");
    }

    /// <summary>Fails unless the value is one of those that the specification names.</summary>
    public static void OneOf(string value, string path, ReadOnlySpan<string> known)
    {
        if (!known.Contains(value))
            throw new OciException(path, $"unknown value {value}");
    }

    private static void CheckHooks(Hooks? hooks)
    {
        Each(hooks?.Prestart, "$.hooks.prestart", CheckHook);
        Each(hooks?.CreateRuntime, "$.hooks.createRuntime", CheckHook);
        Each(hooks?.CreateContainer, "$.hooks.createContainer", CheckHook);
        Each(hooks?.StartContainer, "$.hooks.startContainer", CheckHook);
        Each(hooks?.Poststart, "$.hooks.poststart", CheckHook);
        Each(hooks?.Poststop, "$.hooks.poststop", CheckHook);
    }

    private static void CheckHook(Hook hook, string path)
    {
        Absolute(hook.Path, $"{path}.path");
        if (hook.Timeout <= 0)
            throw new OciException($"{path}.timeout", "must be greater than zero");
    }

    private static bool IsVersion1(string version) =>
        version.StartsWith("1.", StringComparison.Ordinal) && version.Length > 2 && char.IsAsciiDigit(version[2]);
}
