using System.Text.Json.Nodes;
using KataLike.EndToEnd.Tests.CommandLine;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.Volumes;

/// <summary>Access control lists of files that host and container share (decision 21).</summary>
public sealed class AccessListTests : CommandLineCase
{
    /// <summary>acl access|default FILE TAG:ID:PERMISSIONS...: sets a list, as acl(5) and the kernel's acl_ea_header have it.</summary>
    private const string Source = """
        #include <stdint.h>
        #include <stdio.h>
        #include <string.h>
        #include <sys/xattr.h>
        int main(int count, char **arguments)
        {
            struct { uint32_t version; struct { uint16_t tag, permissions; uint32_t id; } entries[16]; } list = { 2 };
            for (int i = 3; i < count; i++) {
                unsigned tag, permissions; int id;
                sscanf(arguments[i], "%u:%d:%u", &tag, &id, &permissions);
                list.entries[i - 3].tag = tag, list.entries[i - 3].permissions = permissions, list.entries[i - 3].id = id;
            }
            const char *name = strcmp(arguments[1], "default") ? "system.posix_acl_access" : "system.posix_acl_default";
            if (setxattr(arguments[2], name, &list, 4 + 8 * (count - 3), 0))
                return perror(arguments[2]), 1;
        }
        """;

    private const string Owner = "1:-1:6", Group = "4:-1:0", ReadMask = "16:-1:4", WriteMask = "16:-1:6", Others = "32:-1:0";

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Those_of_the_host_hold(string name)
    {
        var (runtime, bundle, program) = await PrepareAsync(name);
        var (named, masked) = ($"{Directory}/volume/named", $"{Directory}/volume/masked");
        await File.WriteAllTextAsync(named, "for 1000");
        await File.WriteAllTextAsync(masked, "for 5");
        AssertOk(await HostCommand.RunAsync(program, ["access", named, Owner, "2:1000:4", Group, ReadMask, Others]));
        AssertOk(await HostCommand.RunAsync(program, ["access", masked, Owner, "2:5:6", Group, WriteMask, Others]));
        AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", bundle.Path, Id));

        Assert.Equal("for 1000", (await AsAsync(runtime, "1000:1000", "cat /volume/named")).Text);
        Assert.Contains("Permission denied", (await AsAsync(runtime, "5:5", "cat /volume/named")).Error, StringComparison.Ordinal);
        AssertOk(await AsAsync(runtime, "5:5", "echo more >> /volume/masked"));
        // The mode's middle is the mask: the group itself may nothing.
        Assert.Equal("660", (await AsAsync(runtime, "0:0", "busybox stat -c %a /volume/masked")).Text);
        Assert.Contains("Permission denied", (await AsAsync(runtime, "7:0", "cat /volume/masked")).Error, StringComparison.Ordinal);

        AssertOk(await HostCommand.RunAsync(program, ["access", named, Owner, "2:5:4", Group, ReadMask, Others]));
        await Eventually.HoldsAsync(async () => (await AsAsync(runtime, "5:5", "cat /volume/named")).Text == "for 1000", "the new list holds");
        Assert.Contains("Permission denied", (await AsAsync(runtime, "1000:1000", "cat /volume/named")).Error, StringComparison.Ordinal);
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Those_that_a_container_sets_hold_and_are_inherited(string name)
    {
        var (runtime, bundle, program) = await PrepareAsync(name);
        File.Copy(program, $"{bundle.Rootfs}/bin/acl");
        AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", bundle.Path, Id));
        foreach (var place in (string[])["/inner", "/volume/inner"])
        {
            var result = await AsAsync(runtime, "0:0", $$"""
                set -e
                mkdir {{place}}; cd {{place}}
                umask 027; echo before > before
                acl default . 1:-1:7 2:1000:7 4:-1:5 16:-1:7 32:-1:0; chmod 711 .
                umask 077; echo heir > heir; mkdir below; echo deep > below/deep; chmod 600 heir
                busybox stat -c '%a %n' before heir below below/deep
                acl access heir {{Owner}} 2:1000:4 {{Group}} {{ReadMask}} {{Others}}
                """);
            AssertOk(result);
            Assert.Equal("640 before\n600 heir\n770 below\n660 below/deep", result.Text);
            Assert.Equal("heir\ndeep", (await AsAsync(runtime, "1000:1000", $"cat {place}/heir {place}/below/deep")).Text);
            Assert.Contains("Permission denied", (await AsAsync(runtime, "5:5", $"cat {place}/heir")).Error, StringComparison.Ordinal);
        }
        AssertOk(await runtime.RunAsync("delete", "--force", Id));
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task A_file_system_without_them_is_read_by_mode(string name)
    {
        var (runtime, bundle, program) = await PrepareAsync(name);
        var volume = $"{Directory}/volume";
        AssertOk(await HostCommand.RunAsync("mount", ["-t", "ramfs", "-o", "mode=755", "none", volume]));
        try
        {
            await File.WriteAllTextAsync($"{volume}/file", "for all");
            Assert.NotEqual(0, (await HostCommand.RunAsync(program, ["access", $"{volume}/file", Owner, Group, Others])).ExitCode);
            AssertOk(await runtime.DetachAsync("run", "-d", "--bundle", bundle.Path, Id));
            Assert.Equal("for all", (await AsAsync(runtime, "1000:1000", "cat /volume/file")).Text);
            AssertOk(await runtime.RunAsync("delete", "--force", Id));
        }
        finally
        {
            await HostCommand.RunAsync("umount", ["-l", volume]);
        }
    }

    private async Task<(OciRuntime Runtime, TestBundle Bundle, string Program)> PrepareAsync(string name)
    {
        var runtime = Runtime(name);
        var (source, program) = ($"{Directory}/acl.c", $"{Directory}/acl");
        await File.WriteAllTextAsync(source, Source);
        AssertOk(await HostCommand.RunAsync("gcc", ["-static", "-O1", "-w", "-o", program, source]));
        System.IO.Directory.CreateDirectory($"{Directory}/volume");
        var bundle = Bundle();
        bundle.Write(["sleep", "1000"], spec => spec["mounts"]!.AsArray().Add(new JsonObject
        {
            ["destination"] = "/volume",
            ["type"] = "bind",
            ["source"] = $"{Directory}/volume",
            ["options"] = new JsonArray("rbind", "rw"),
        }));
        return (runtime, bundle, program);
    }

    private Task<CommandResult> AsAsync(OciRuntime runtime, string user, string script) =>
        runtime.RunAsync("exec", "--user", user, Id, "sh", "-c", script);
}
