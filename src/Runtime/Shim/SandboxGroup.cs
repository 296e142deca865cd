using System.Text.Json;

namespace KataLike.Runtime.Shim;

/// <summary>Which containers share a sandbox: those whose config.json names the same group in its annotations.</summary>
internal static class SandboxGroup
{
    /// <summary>The first of these that is present counts: containerd's own label, then those of the CRI servers.</summary>
    private static readonly string[] Annotations =
    [
        "io.containerd.runc.v2.group",
        "io.kubernetes.cri.sandbox-id",
        "io.kubernetes.cri-o.SandboxID",
    ];

    /// <summary>The group of the container in this bundle; its own id where it stands alone.</summary>
    /// <exception cref="RuntimeException">config.json cannot be read or is not a JSON object.</exception>
    public static string Of(string bundle, string containerId)
    {
        var path = Path.Combine(bundle, "config.json");
        try
        {
            return Of(File.ReadAllBytes(path), containerId);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            throw new RuntimeException($"cannot read {path}: {e.Message}", cause: e);
        }
    }

    /// <exception cref="JsonException">Not a JSON object.</exception>
    internal static string Of(ReadOnlyMemory<byte> config, string containerId)
    {
        using var document = JsonDocument.Parse(config);
        if (document.RootElement.ValueKind != JsonValueKind.Object)
            throw new JsonException("not a JSON object");
        if (!document.RootElement.TryGetProperty("annotations", out var annotations) ||
            annotations.ValueKind != JsonValueKind.Object)
            return containerId;
        foreach (var name in Annotations)
        {
            if (annotations.TryGetProperty(name, out var group) && group.ValueKind == JsonValueKind.String &&
                group.GetString() is { Length: > 0 } id)
                return id;
        }
        return containerId;
    }
}
