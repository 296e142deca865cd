using System.Text.Json.Nodes;

namespace KataLike.Conformance.Tests;

/// <summary>What the probe printed.</summary>
/// <param name="holder">What it prints in the container that was there before; null for that one itself.</param>
internal sealed class Observation(JsonNode seen, Observation? holder)
{
    public Observation Holder => holder ?? throw new InvalidOperationException("the holder has nobody to be compared with");

    public IReadOnlyList<string> Environment => [.. seen["env"]!.AsArray().Select(variable => (string)variable!)];

    public IReadOnlyList<long> Processors => [.. seen["processors"]!.AsArray().Select(number => (long)number!)];

    public IReadOnlyList<long> Descriptors => [.. seen["descriptors"]!.AsArray().Select(number => (long)number!).Order()];

    /// <summary>Paths of its cgroups, one for each hierarchy.</summary>
    public IReadOnlyList<string> Cgroups =>
        [.. Text("cgroup").Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(':', 3)[2])];

    public string Text(string key) => (string)seen[key]!;

    public long Number(string key) => (long)seen[key]!;

    /// <summary>A line of /proc/self/status.</summary>
    public string Status(string key) => (string)seen["status"]![key]!;

    /// <summary>"soft:hard".</summary>
    public string Limit(string name) => (string)seen["limits"]![name]!;

    public string Namespace(string kind) => (string)seen["namespaces"]![kind]!;

    public string Answer(string question) =>
        (string?)seen["answers"]![question] ?? throw new InvalidOperationException($"the probe was not asked {question}");

    /// <summary>The uppermost mount at a place.</summary>
    public MountEntry Mount(string point) =>
        FindMount(point) ?? throw new Xunit.Sdk.XunitException($"nothing is mounted at {point}");

    public MountEntry? FindMount(string point) =>
        seen["mounts"]!.AsArray().Select(line => MountEntry.Parse((string)line!)).LastOrDefault(mount => mount.Point == point);
}

/// <summary>A line of mountinfo, proc(5).</summary>
/// <param name="Propagation">"shared:N", "master:N", "unbindable"; nothing for a private mount.</param>
internal sealed record MountEntry(
    string Root, string Point, IReadOnlyList<string> Options, IReadOnlyList<string> Propagation, string Type, string Source, IReadOnlyList<string> SuperOptions)
{
    public static MountEntry Parse(string line)
    {
        var fields = line.Split(' ');
        var separator = Array.IndexOf(fields, "-");
        return new MountEntry(fields[3], fields[4], fields[5].Split(','), fields[6..separator], fields[separator + 1], fields[separator + 2], fields[separator + 3].Split(','));
    }
}
