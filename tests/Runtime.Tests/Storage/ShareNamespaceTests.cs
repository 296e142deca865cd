using KataLike.Contract.Oci;
using KataLike.Linux;
using KataLike.Runtime.Storage;

namespace KataLike.Runtime.Tests.Storage;

public sealed class ShareNamespaceTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("katalike-shares-").FullName;

    private string Shared => $"{_directory}/shared";

    public ShareNamespaceTests()
    {
        Directory.CreateDirectory(Shared);
        Directory.CreateDirectory($"{_directory}/rootfs");
        File.WriteAllText($"{_directory}/rootfs/hello", "from the root\n");
        File.WriteAllText($"{_directory}/file", "from a file\n");
    }

    [SkippableFact]
    public void ChildrenSeeTheSharesAndTheHostSeesNothing()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes a mount namespace");
        var before = File.ReadAllText("/proc/self/mountinfo");
        using (var space = ShareNamespace.Enter(Shared))
        {
            space.Attach("c1", new SharePlan(
                [
                    new HostShare($"{_directory}/rootfs", "rootfs"),
                    new HostShare($"{_directory}/file", "0") { Recursive = false, ReadOnly = true },
                ], [], new()));

            Assert.Equal("from the root\n", Shell(space, $"cat {Shared}/c1/rootfs/hello"));
            Assert.Equal("from a file\n", Shell(space, $"cat {Shared}/c1/0"));
            Assert.Equal("refused\n", Shell(space, $"(echo x > {Shared}/c1/0) 2>/dev/null || echo refused"));
            Assert.Equal("refused\n", Shell(space, $"mkdir {Shared}/evil 2>/dev/null || echo refused"));
            Assert.Equal("", Shell(space, $"echo written > {Shared}/c1/rootfs/new"));
            Assert.Equal("written\n", File.ReadAllText($"{_directory}/rootfs/new"));

            Assert.Equal(before, File.ReadAllText("/proc/self/mountinfo"));
            Assert.Empty(Directory.EnumerateFileSystemEntries(Shared));

            space.Detach("c1");
            Assert.Equal("", Shell(space, $"ls {Shared}"));
        }
        Assert.Equal(before, File.ReadAllText("/proc/self/mountinfo"));
    }

    [SkippableFact]
    public void WhatContainersMayWriteToIsAtOnePlaceUntilTheLastHasGone()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes a mount namespace");
        using var space = ShareNamespace.Enter(Shared);
        string Add(string id, params string[] options)
        {
            var plan = SharePlan.From(
                new Spec
                {
                    OciVersion = "1.0.2",
                    Root = new Root { Path = "rootfs" },
                    Mounts = [new Mount { Destination = "/m", Type = "bind", Source = $"{_directory}/rootfs", Options = ["rbind", .. options] }],
                }, id, _directory, []);
            space.Attach(id, plan);
            return Assert.Single(plan.Overlay.Mounts).Shared["katalike/".Length..];
        }

        var place = Add("c1");
        Assert.Equal("from the root\n", Shell(space, $"cat {Shared}/{place}/hello"));
        Assert.Equal(place, Add("c2"));
        Assert.Equal("c3/0", Add("c3", "ro"));
        space.Detach("c1");
        Assert.Equal("from the root\n", Shell(space, $"cat {Shared}/{place}/hello"));
        Assert.Equal(place, Add("c4"));
        Directory.Move($"{_directory}/rootfs", $"{_directory}/former");
        Directory.CreateDirectory($"{_directory}/rootfs");
        Assert.NotEqual(place, Add("c5"));
        foreach (var id in (string[])["c2", "c3", "c4", "c5"])
            space.Detach(id);
        Assert.Equal("@volumes\n", Shell(space, $"cd {Shared} && find . -mindepth 1 -printf '%P\\n'"));
    }

    [SkippableFact]
    public void AnOverlayIsMountedInsideOnly()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes a mount namespace");
        foreach (var name in (string[])["upper", "work"])
            Directory.CreateDirectory($"{_directory}/{name}");
        var overlay = new RootfsMount(
            "overlay", "overlay", [$"lowerdir={_directory}/rootfs", $"upperdir={_directory}/upper", $"workdir={_directory}/work", "noatime"]);
        using var space = ShareNamespace.Enter(Shared);
        space.Attach("c1", new SharePlan([], [new HostFileSystem("rootfs", overlay)], new()));
        Assert.Equal("from the root\n", Shell(space, $"cat {Shared}/c1/rootfs/hello && touch {Shared}/c1/rootfs/up"));
        Assert.True(File.Exists($"{_directory}/upper/up"));
        Assert.False(File.Exists($"{_directory}/rootfs/up"));
        space.Detach("c1");
    }

    [SkippableFact]
    public void AnOverlayMayHaveMoreOptionsThanAPage()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes a mount namespace");
        var layers = Enumerable.Range(0, 60).Select(i => $"{_directory}/{new string('l', 100)}{i}").Append($"{_directory}/a:b\\c").ToList();
        foreach (var layer in layers)
            File.WriteAllText($"{Directory.CreateDirectory(layer).FullName}/{Path.GetFileName(layer)[^3..]}", "");
        var escaped = layers.Select(layer => layer.Replace("\\", "\\\\", StringComparison.Ordinal).Replace(":", "\\:", StringComparison.Ordinal));
        using var space = ShareNamespace.Enter(Shared);
        space.Attach("c1", new SharePlan([], [new HostFileSystem("0", new RootfsMount("overlay", "overlay", [$"lowerdir={string.Join(':', escaped)}", "rprivate", "ro"]), "/o")], new()));
        Assert.Equal("61\n", Shell(space, $"ls {Shared}/c1/0 | wc -l"));
    }

    /// <summary>As containerd's EROFS snapshotter has it, also with ext4, which every host has a program for.</summary>
    [SkippableTheory]
    [InlineData("format/mkdir/overlay", "ext4")]
    [InlineData("format/mkdir/bind", "ext4")]
    [InlineData("format/mkdir/overlay", "erofs")]
    public void LayersInFilesAreARootFileSystem(string type, string layer)
    {
        Skip.IfNot(layer == "ext4" || Find("mkfs.erofs") is not null, "mkfs.erofs is not installed (erofs-utils)");
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes a mount namespace");
        Skip.IfNot(File.Exists("/dev/loop-control"), "this host has no loop devices");
        string Image(string name)
        {
            using (var file = File.Create($"{_directory}/{name}"))
                file.SetLength(8 << 20);
            // rootfs/hello is in it.
            string[] options = name == "erofs" ? [$"{_directory}/{name}", $"{_directory}/rootfs"] : ["-q", "-d", $"{_directory}/rootfs", $"{_directory}/{name}"];
            using var made = System.Diagnostics.Process.Start(Find(name == "erofs" ? "mkfs.erofs" : "mkfs.ext4")!, options);
            made.WaitForExit();
            Assert.Equal(0, made.ExitCode);
            return $"{_directory}/{name}";
        }
        RootfsMount[] mounts =
        [
            new(layer, Image(layer), ["ro", "loop"]),
            new("ext4", Image("writable"), ["loop"]),
            type.EndsWith("bind", StringComparison.Ordinal)
                ? new(type, "{{ mount 1 }}/upper", ["X-containerd.mkdir.path={{ mount 1 }}/upper:0750", "rbind"])
                : new(type, "overlay",
                [
                    "X-containerd.mkdir.path={{ mount 1 }}/upper:0750", "X-containerd.mkdir.path={{ mount 1 }}/work:0755",
                    "lowerdir={{ overlay 0 0 }}", "upperdir={{ mount 1 }}/upper", "workdir={{ mount 1 }}/work",
                ]),
        ];
        var plan = SharePlan.From(Contract.Oci.Spec.Default(), "c1", _directory, mounts);
        using var space = ShareNamespace.Enter(Shared);
        for (var times = 0; times < 2; times++)
        {
            space.Attach("c1", new SharePlan([], plan.FileSystems, new()));
            Assert.Equal(type.EndsWith("bind", StringComparison.Ordinal) ? "" : "from the root\n", Shell(space, $"cat {Shared}/c1/rootfs/hello 2>/dev/null"));
            Assert.Equal($"{times}\n", Shell(space, $"ls {Shared}/c1/rootfs | grep -c new; touch {Shared}/c1/rootfs/new"));
            Assert.Equal("750\n", Shell(space, $"stat -c %a {Shared}/c1/rootfs"));
            // The layers themselves are nobody's business.
            Assert.Equal("", Shell(space, $"find {Shared}/c1/rootfs.0 {Shared}/c1/rootfs.1 -mindepth 1"));
            Assert.Equal(2, LoopFiles());
            space.Detach("c1");
            // The kernel lets go of the devices by and by.
            Assert.True(SpinWait.SpinUntil(() => LoopFiles() == 0, TimeSpan.FromSeconds(10)));
        }

        static string? Find(string program) => $"{Environment.GetEnvironmentVariable("PATH")}:/usr/sbin:/sbin".Split(':')
            .Select(directory => Path.Combine(directory, program)).FirstOrDefault(File.Exists);

        int LoopFiles() => Directory.EnumerateDirectories("/sys/block", "loop*").Select(device => $"{device}/loop/backing_file")
            .Count(file => File.Exists(file) && File.ReadAllText(file).StartsWith(_directory, StringComparison.Ordinal));
    }

    [SkippableFact]
    public void ReadOnlyMeansTheMountOrAllBelowIt()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes a mount namespace");
        using var space = ShareNamespace.Enter(Shared);
        Directory.CreateDirectory($"{_directory}/rootfs/below");
        HostShare[] shares =
        [
            new($"{_directory}/rootfs", "0") { ReadOnly = true }, new("/dev", "1") { ReadOnly = true }, new("/dev", "2") { ReadOnly = true, ReadOnlyBelow = true },
        ];
        space.Attach("c1", new SharePlan(shares, [], new()));
        string Try(string path) => Shell(space, $"touch {Shared}/c1/{path} 2>/dev/null && echo wrote || echo refused");
        Assert.Equal("refused\n", Try("0/x"));
        Assert.Equal("refused\n", Try("1/x"));
        Assert.Equal("wrote\n", Try("1/shm/katalike-test"));
        Assert.Equal("refused\n", Try("2/shm/katalike-test"));
        File.Delete("/dev/shm/katalike-test");
    }

    [SkippableFact]
    public void OwnersAreMappedBeforeTheGuestSeesThem()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes a mount namespace");
        using var space = ShareNamespace.Enter(Shared);
        IdRange[] ids = [new(0, 100_000, 10)];
        space.Attach("c1", new SharePlan([new HostShare($"{_directory}/rootfs", "0") { Ids = new IdMappings(ids, ids, Recursive: false) }], [], new()));
        Assert.Equal("100000:100000\n", Shell(space, $"stat -c %u:%g {Shared}/c1/0/hello"));
        var error = Assert.Throws<RuntimeException>(() => space.Attach("c2", new SharePlan(
            [new HostShare("/proc", "0") { Destination = "/p", Recursive = false, Ids = new IdMappings(ids, ids, Recursive: false) }], [], new())));
        Assert.Equal("error mounting \"/proc\" to rootfs at \"/p\": mount_setattr: invalid argument", error.Message);
    }

    [SkippableFact]
    public void NoLinkBringsTheHostsKernelFilesIn()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes a mount namespace");
        using var space = ShareNamespace.Enter(Shared);
        File.CreateSymbolicLink($"{_directory}/link", "/proc/sys");
        var error = Assert.Throws<RuntimeException>(() => space.Attach("c1", new SharePlan([new HostShare($"{_directory}/link", "0") { Destination = "/p" }], [], new())));
        Assert.EndsWith("it leads to /proc/sys: give that path, and the guest's own will be mounted", error.Message, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void NoLinkLeadsToTheRootFileSystem()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes a mount namespace");
        using var space = ShareNamespace.Enter(Shared);
        File.CreateSymbolicLink($"{_directory}/link", "rootfs");
        File.CreateSymbolicLink($"{_directory}/bundle", ".");
        string Refused(string path) => Assert.Throws<RuntimeException>(
            () => space.Attach("c1", new SharePlan([new HostShare(path, "rootfs") { Bundle = _directory }], [], new()))).Message;
        Assert.Equal("invalid rootfs: not an absolute path, or a symlink", Refused("link"));
        Assert.Equal("invalid rootfs: not an absolute path, or a symlink", Refused("bundle/rootfs"));
        Assert.Equal($"invalid rootfs: stat {_directory}/nowhere: no such file or directory", Refused("nowhere"));
        Assert.Equal("invalid rootfs: stat /dev/null: not a directory", Refused("/dev/null"));
        // The way to the bundle may have links.
        space.Attach("c1", new SharePlan([new HostShare("x/../rootfs", "rootfs") { Bundle = $"{_directory}/bundle" }], [], new()));
        Assert.Equal("from the root\n", Shell(space, $"cat {Shared}/c1/rootfs/hello"));
    }

    [SkippableFact]
    public void AMissingSourceIsNamedAndNothingStaysAttached()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes a mount namespace");
        using var space = ShareNamespace.Enter(Shared);
        var plan = new SharePlan(
            [
                new HostShare($"{_directory}/rootfs", "rootfs"),
                new HostShare("/nonexistent/source", "0") { Destination = "/data" },
            ], [], new());
        var error = Assert.Throws<RuntimeException>(() => space.Attach("c1", plan));
        Assert.Equal("error mounting \"/nonexistent/source\" to rootfs at \"/data\": stat /nonexistent/source: no such file or directory", error.Message);
        Assert.Equal("", Shell(space, $"ls {Shared}"));
    }

    [SkippableFact]
    public async Task ChildrenDieWithTheNamespace()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "needs root: makes a mount namespace");
        ChildProcess child;
        using (var space = ShareNamespace.Enter(Shared))
            child = space.Start(new ProcessStart { Path = "/bin/sleep", Arguments = ["sleep", "1000"] });
        using (child)
            Assert.Equal(new ExitStatus(true, 9), await child.Exited);
    }

    private static string Shell(ShareNamespace space, string command)
    {
        var (read, write) = Files.Pipe();
        using (read)
        {
            ChildProcess child;
            using (write)
                child = space.Start(new ProcessStart
                {
                    Path = "/bin/sh",
                    Arguments = ["sh", "-c", command],
                    Environment = ["PATH=/usr/bin:/bin"],
                    Descriptors = [(write, 1)],
                });
            using var output = new MemoryStream();
            Span<byte> buffer = stackalloc byte[1024];
            while (Files.Read(read, buffer) is > 0 and var count)
                output.Write(buffer[..count]);
            using (child)
                child.Exited.Wait();
            return System.Text.Encoding.UTF8.GetString(output.ToArray());
        }
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);
}
