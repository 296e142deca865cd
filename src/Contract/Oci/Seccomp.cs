using System.Text.Json.Serialization;

namespace KataLike.Contract.Oci;

/// <summary>config-linux.md, "Seccomp". Names are those of libseccomp.</summary>
public sealed record Seccomp
{
    public required string DefaultAction { get; init; }

    public uint? DefaultErrnoRet { get; init; }

    public IReadOnlyList<string>? Architectures { get; init; }

    public IReadOnlyList<string>? Flags { get; init; }

    public string? ListenerPath { get; init; }

    public string? ListenerMetadata { get; init; }

    public IReadOnlyList<SeccompRule>? Syscalls { get; init; }
}

/// <summary>What happens to some system calls.</summary>
public sealed record SeccompRule
{
    public IReadOnlyList<string>? Names { get; init; }

    public required string Action { get; init; }

    public uint? ErrnoRet { get; init; }

    /// <summary>All must match.</summary>
    public IReadOnlyList<SeccompArgument>? Args { get; init; }
}

/// <summary>A condition on one argument.</summary>
public sealed record SeccompArgument
{
    /// <summary>0 to 5.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public uint Index { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public ulong Value { get; init; }

    public ulong ValueTwo { get; init; }

    public required string Op { get; init; }
}
