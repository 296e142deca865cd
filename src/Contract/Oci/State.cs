using System.Text.Json.Serialization;

namespace KataLike.Contract.Oci;

/// <summary>runtime.md, "State", in the order of fields of runc's `state`.</summary>
public sealed record State
{
    public required string OciVersion { get; init; }

    public required string Id { get; init; }

    /// <summary>0 where the container is stopped.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public int Pid { get; init; }

    /// <summary>"creating", "created", "running", "stopped"; "paused" is runc's.</summary>
    public required string Status { get; init; }

    public required string Bundle { get; init; }

    /// <summary>Not the specification's; BuildKit reads it.</summary>
    public string? Rootfs { get; init; }

    /// <summary>Not the specification's; as runc's.</summary>
    public DateTimeOffset? Created { get; init; }

    public IReadOnlyDictionary<string, string>? Annotations { get; init; }

    /// <summary>Not the specification's; as runc's.</summary>
    public string? Owner { get; init; }

    /// <summary>Not the specification's: why the virtual machine was lost, where that ended the container.</summary>
    public string? Reason { get; init; }

    /// <summary>Indented as runc prints it.</summary>
    public string ToJson() => OciJson.Write(this, OciJson.TwoSpaces.State);

    /// <summary>On one line, as hooks read it.</summary>
    public byte[] ToUtf8Json() => OciJson.WriteUtf8(this, OciJson.Compact.State);
}
