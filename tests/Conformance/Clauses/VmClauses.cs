using System.Text.Json.Nodes;

namespace KataLike.Conformance.Tests.Clauses;

/// <summary>config-vm.md. The configuration says what a bundle may choose of it; each runs in a machine of its own.</summary>
internal static class VmClauses
{
    private const string NoMachine = "runc has no machine";

    public static Clause[] All =>
    [
        Forbidden("hypervisor.path", "hypervisor", """{"hypervisor":{"path":"/bin/true"}}"""),
        Forbidden("hypervisor.parameters", "hypervisor", """{"hypervisor":{"path":"/usr/bin/qemu-system-x86_64","parameters":["-snapshot"]}}"""),
        Forbidden("kernel.path", "kernel", """{"kernel":{"path":"/no/such/kernel"}}"""),
        Forbidden("kernel.initrd", "kernel", """{"kernel":{"path":"/no/such/kernel","initrd":"/no/such/initrd"}}"""),
        Forbidden("image.path", "image", """{"image":{"path":"/no/such/image","format":"raw"}}"""),
        Forbidden("hwConfig.vcpus", "vcpus", """{"hwConfig":{"vcpus":2}}"""),
        new Played("vm", "what the configuration allows is honoured", AllowedAsync) { RuncCannot = NoMachine },
    ];

    private static Refused Forbidden(string property, string mentions, string vm) =>
        new($"vm.{property}", "one that is not allowed", mentions, $$"""{"annotations=":{},"vm":{{vm}} }""") { RuncCannot = NoMachine };

    private static async Task AllowedAsync(Stage stage)
    {
        var bundle = stage.NewBundle();
        var kernel = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(stage.Runtime.Program)!, "../share/katalike/vmlinux"));
        var configuration = $"{bundle.Path}/config.toml";
        await File.WriteAllTextAsync(configuration, $"""
            [vm]
            hypervisor_paths = ["/usr/bin/qemu-system-x86_64"]
            hypervisor_parameters = ["-boot*", "strict=on"]
            kernel_paths = ["{kernel}"]
            kernel_parameters = ["conformance.*"]
            hardware = ["vcpus", "memory"]
            """);
        await stage.WriteAsync(bundle, [$$"""
            {"annotations=":{},"vm":{"hypervisor":{"path":"/usr/bin/qemu-system-x86_64","parameters":["-boot","strict=on"]},
             "kernel":{"path":"{{kernel}}","parameters":["conformance.clause=1"]},"hwConfig":{"vcpus":2,"memory":402653184} } }
            """], "/probe", "read:/proc/cmdline", "read:/proc/meminfo");
        var run = await stage.Runtime.RunAsync("--config", configuration, "run", "--bundle", bundle.Path, Stage.NewId());
        Assert.True(run.ExitCode == 0 && run.Text.StartsWith('{'), $"exit code {run.ExitCode}: {run.Error}");
        var seen = new Observation(JsonNode.Parse(run.Text)!, null);
        Assert.Contains("conformance.clause=1", seen.Answer("read:/proc/cmdline").Split(' '));
        Assert.Equal([0, 1], seen.Processors);
        var total = long.Parse(seen.Answer("read:/proc/meminfo").Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], System.Globalization.CultureInfo.InvariantCulture);
        Assert.InRange(total, 200 << 10, 384 << 10);
    }
}
