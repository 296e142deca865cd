using System.Globalization;
using KataLike.Contract.Oci;

namespace KataLike.Runtime.Sandboxes;

/// <summary>
/// What a pod chooses of its sandbox by annotations, as far as <c>[annotations]</c> of the configuration allows. Whoever makes pods
/// is not trusted with the host: values are bounded here, and nothing names a path.
/// </summary>
internal static class PodAnnotations
{
    public const string Prefix = "katalike.io/";

    private const int LeastMemoryMib = 128;

    /// <summary>All that there are; each takes the value and returns the configuration with it.</summary>
    private static readonly Dictionary<string, Func<Configuration, string, Configuration>> Known = new()
    {
        ["vcpus"] = (configuration, value) => configuration with
        {
            Vcpus = Integer("vcpus", value, 1, configuration.MaxVcpus > 0 ? configuration.MaxVcpus : Environment.ProcessorCount),
        },
        ["memory_mib"] = (configuration, value) => configuration with
        {
            MemoryMib = Integer("memory_mib", value, LeastMemoryMib, configuration.MaxMemoryMib > 0 ? configuration.MaxMemoryMib : int.MaxValue),
        },
        ["template"] = (configuration, value) => configuration with { Templates = configuration.Templates && Boolean("template", value) },
        ["network"] = (configuration, value) => configuration with
        {
            UserNetwork = value switch
            {
                "user" => true,
                "none" => false,
                _ => throw new OciException(Name("network"), $"{value} must be user or none"),
            },
        },
        ["kernel_parameters"] = (configuration, value) => configuration with
        {
            KernelParameters =
            [
                .. configuration.KernelParameters,
                .. VmSection.KernelParameters(Name("kernel_parameters"), value.Split(' ', StringSplitOptions.RemoveEmptyEntries), configuration.Vm),
            ],
        },
    };

    public static IReadOnlyCollection<string> Names => Known.Keys;

    /// <summary>The configuration for a sandbox whose first container has these annotations.</summary>
    /// <exception cref="OciException">One that is not known or not allowed, or a value that it cannot have.</exception>
    public static Configuration Apply(IReadOnlyDictionary<string, string>? annotations, Configuration configuration)
    {
        foreach (var (key, value) in annotations ?? new Dictionary<string, string>())
        {
            if (!key.StartsWith(Prefix, StringComparison.Ordinal))
                continue;
            var name = key[Prefix.Length..];
            if (!Known.TryGetValue(name, out var apply))
                throw new OciException(Name(name), $"is not known: did you mean {Prefix}{NearestName.To(name, Known.Keys)}?");
            if (!configuration.Annotations.Contains(name))
                throw new OciException(Name(name), $"is not allowed: an administrator can add \"{name}\" to allowed in [annotations] of the configuration");
            configuration = apply(configuration, value);
        }
        return configuration;
    }

    private static string Name(string name) => $"$.annotations['{Prefix}{name}']";

    private static bool Boolean(string name, string value) =>
        bool.TryParse(value, out var chosen) ? chosen : throw new OciException(Name(name), $"{value} must be true or false");

    private static int Integer(string name, string value, int least, int most) =>
        int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= least && number <= most
            ? number : throw new OciException(Name(name), $"{value} must be an integer from {least} to {most}");
}
