using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using KataLike.Linux;
using KataLike.Runtime.Vsock;
using Xunit.Abstractions;

namespace KataLike.Runtime.Tests.Vsock;

/// <summary>The device against Linux's own driver: a guest in QEMU whose init (guest-init.c) uses it in every way.</summary>
public sealed class GuestDriverTests(ITestOutputHelper output)
{
    private const int Megabyte = 1 << 20;

    [SkippableFact]
    public async Task Real_driver_gets_and_gives_every_byte()
    {
        var kernel = FindKernel();
        Skip.If(kernel is null, "no guest kernel: ./dev kernel makes it, or name one in KATALIKE_VMLINUX");
        Skip.IfNot(File.Exists("/usr/bin/qemu-system-x86_64"), "QEMU is not installed (qemu-system-x86)");
        using var work = new WorkDirectory();
        var initrd = BuildInitrd(work.Path);
        await using var vsock = new VhostUserVsock(report: reason => output.WriteLine(reason));
        var report = Sink(vsock, 5000);
        var echo = Both(vsock, 5001);
        var up = Sink(vsock, 5002);
        var (downSource, downBytes) = DownloadFile(work.Path);
        var down = Sink(vsock, 5003, downSource);
        var broken = BrokenSink(vsock, 5004);
        var tail = Sink(vsock, 5005);
        using var qemu = Boot(kernel!, initrd, vsock.FrontEnd, work.Path);
        try
        {
            await Echo(echo).WaitAsync(TimeSpan.FromMinutes(2));
            var clock = Stopwatch.StartNew();
            await CheckUpload(up).WaitAsync(TimeSpan.FromMinutes(2));
            output.WriteLine($"guest to host: {64 / clock.Elapsed.TotalSeconds:F0} MiB/s");
            clock.Restart();
            var sums = Encoding.ASCII.GetString(await ReadToEnd(down.Output).WaitAsync(TimeSpan.FromMinutes(2)));
            output.WriteLine($"host to guest: {64 / clock.Elapsed.TotalSeconds:F0} MiB/s (the guest sums too)");
            Assert.Equal($"{downBytes.Length} {Sum(downBytes)}", sums);
            Assert.Equal(200_000, (await ReadToEnd(tail.Output).WaitAsync(TimeSpan.FromMinutes(1))).Length);
            var lines = Encoding.ASCII.GetString(await ReadToEnd(report.Output).WaitAsync(TimeSpan.FromMinutes(1)));
            Assert.Equal(
                "echo done\nup done\ndown done\nclosed port: Connection reset by peer\nbroken sink: Broken pipe\n", lines);
            await Task.WhenAll(report.Channel.Finished, up.Channel.Finished, down.Channel.Finished, broken.Finished)
                .WaitAsync(TimeSpan.FromMinutes(1));
        }
        catch
        {
            output.WriteLine(File.ReadAllText(Path.Combine(work.Path, "console")));
            throw;
        }
        finally
        {
            qemu.Kill();
            await qemu.WaitForExitAsync();
        }
    }

    private async Task Echo(FileDescriptor socket)
    {
        using var stream = new System.Net.Sockets.NetworkStream(
            new System.Net.Sockets.Socket(new System.Net.Sockets.SafeSocketHandle(socket.Number, false)), false);
        var bytes = new byte[64];
        var times = new List<double>();
        for (var i = 0; i < 500; i++)
        {
            bytes[5] = (byte)i;
            var start = Stopwatch.GetTimestamp();
            await stream.WriteAsync(bytes);
            var back = new byte[64];
            await stream.ReadExactlyAsync(back);
            times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            Assert.Equal(bytes, back);
        }

        times.Sort();
        output.WriteLine($"64 bytes there and back: median {times[250]:F3} ms, p99 {times[495]:F3} ms");
        UnixSockets.ShutDown(socket, writing: true);
        Assert.Equal(0, await stream.ReadAsync(bytes));
        socket.Dispose();
    }

    private static async Task CheckUpload((VsockChannel Channel, FileDescriptor Output) up)
    {
        using var stream = Open(up.Output);
        var block = new byte[Megabyte];
        var expected = new byte[Megabyte];
        for (var j = 0; j < expected.Length; j++)
            expected[j] = (byte)((j * 7) + (j >> 8));
        for (var i = 0; i < 64; i++)
        {
            for (var j = 0; j < expected.Length; j += 4096)
                expected[j] = (byte)i;
            await stream.ReadExactlyAsync(block);
            Assert.True(block.AsSpan().SequenceEqual(expected), $"block {i} differs");
        }

        Assert.Equal(0, await stream.ReadAsync(block));
    }

    private static FileStream Open(FileDescriptor descriptor) =>
        new(new Microsoft.Win32.SafeHandles.SafeFileHandle(descriptor.Number, false), FileAccess.Read, 0);

    private static Task<byte[]> ReadToEnd(FileDescriptor descriptor) => Task.Run(() =>
    {
        using var stream = Open(descriptor);
        using var all = new MemoryStream();
        stream.CopyTo(all);
        return all.ToArray();
    });

    private static (VsockChannel Channel, FileDescriptor Output) Sink(VhostUserVsock vsock, uint port, FileDescriptor? source = null)
    {
        var (read, write) = Files.Pipe();
        return (vsock.Open(port, source, write), read);
    }

    private static FileDescriptor Both(VhostUserVsock vsock, uint port)
    {
        var (ours, theirs) = UnixSockets.Pair();
        vsock.Open(port, theirs, theirs);
        return ours;
    }

    private static VsockChannel BrokenSink(VhostUserVsock vsock, uint port)
    {
        var (read, write) = Files.Pipe();
        read.Dispose();
        return vsock.Open(port, null, write);
    }

    private static (FileDescriptor File, byte[] Bytes) DownloadFile(string directory)
    {
        var bytes = new byte[64 * Megabyte];
        new Random(7).NextBytes(bytes);
        var path = Path.Combine(directory, "down");
        File.WriteAllBytes(path, bytes);
        return (Files.Open(path, Files.ReadOnly), bytes);
    }

    private static ulong Sum(byte[] bytes)
    {
        var sum = 5381UL;
        foreach (var value in bytes)
            sum = (sum * 33) + value;
        return sum;
    }

    private static Process Boot(string kernel, string initrd, FileDescriptor frontEnd, string directory)
    {
        // Inherited by QEMU: without close-on-exec.
        var descriptor = dup(frontEnd.Number);
        try
        {
            return Process.Start("/usr/bin/qemu-system-x86_64",
            [
                "-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg", "-m", "256M",
                "-object", "memory-backend-memfd,id=mem,size=256M,share=on", "-machine", "q35,memory-backend=mem",
                "-chardev", $"socket,id=c,fd={descriptor.ToString(CultureInfo.InvariantCulture)}",
                "-device", "vhost-user-vsock-pci,chardev=c", "-serial", $"file:{directory}/console",
                "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 no_timer_check panic=-1 rdinit=/init quiet",
                "-no-reboot",
            ]);
        }
        finally
        {
            _ = close(descriptor);
        }
    }

    private static string BuildInitrd(string directory)
    {
        var source = Path.Combine(SourceDirectory(), "guest-init.c");
        var init = Path.Combine(directory, "init");
        using (var compiler = Process.Start("gcc", ["-static", "-O2", "-o", init, source]))
        {
            compiler.WaitForExit();
            Assert.Equal(0, compiler.ExitCode);
        }

        var initrd = Path.Combine(directory, "initrd");
        using var archive = File.Create(initrd);
        Append(archive, "dev", 0x41ed, []);
        Append(archive, "init", 0x81ed, File.ReadAllBytes(init));
        Append(archive, "TRAILER!!!", 0, []);
        return initrd;
    }

    /// <summary>One entry of a cpio archive in the "newc" format.</summary>
    private static void Append(FileStream archive, string name, int mode, byte[] content)
    {
        var fields = new[] { 1, mode, 0, 0, 1, 0, content.Length, 0, 0, 0, 0, name.Length + 1, 0 };
        var header = "070701" + string.Concat(fields.Select(f => f.ToString("x8", CultureInfo.InvariantCulture))) + name + '\0';
        archive.Write(Encoding.ASCII.GetBytes(header.PadRight((header.Length + 3) & ~3, '\0')));
        archive.Write(content);
        archive.Write(new byte[((content.Length + 3) & ~3) - content.Length]);
    }

    private static string? FindKernel()
    {
        var named = Environment.GetEnvironmentVariable("KATALIKE_VMLINUX");
        var built = Path.GetFullPath(Path.Combine(SourceDirectory(), "../../../out/share/katalike/vmlinux"));
        return File.Exists(named) ? named : File.Exists(built) ? built : null;
    }

    private static string SourceDirectory()
    {
        // The tests run from tests/Runtime.Tests/bin/CONFIGURATION/FRAMEWORK.
        var root = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "../../../../.."));
        return Path.Combine(root, "tests/Runtime.Tests/Vsock");
    }

    [DllImport("libc")]
    private static extern int dup(int fd);

    [DllImport("libc")]
    private static extern int close(int fd);

    private sealed class WorkDirectory : IDisposable
    {
        public string Path { get; } = Directory.CreateTempSubdirectory("katalike-vsock-").FullName;

        public void Dispose() => Directory.Delete(Path, recursive: true);
    }
}
