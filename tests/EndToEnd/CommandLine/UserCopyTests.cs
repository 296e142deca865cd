using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>How the guest kernel copies to and from programs is changed for emulation (src/GuestKernel/changes).</summary>
public sealed class UserCopyTests : CommandLineCase
{
    /// <summary>Reads and writes a file with a buffer of which only the first bytes are there, at each alignment.</summary>
    private const string Source = """
        #define _GNU_SOURCE
        #include <errno.h>
        #include <stdio.h>
        #include <string.h>
        #include <sys/mman.h>
        #include <unistd.h>
        enum { page = 4096, most = 600 };
        static const int beyond[] = { 0, 1, 8, 63, 64, 65, 200 };
        static unsigned char content[2 * page], seen[2 * page];
        int main(void)
        {
            unsigned char *pages = mmap(0, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            int file = memfd_create("file", 0), checks = 0, wrong = 0;
            munmap(pages + page, page);
            for (int i = 0; i < sizeof content; i++)
                content[i] = i * 7 + i / 251;
            for (int there = 0; there <= most; there++)
                for (int at = 0; at < 8; at++)
                    for (int i = 0; i < sizeof beyond / sizeof *beyond; i++) {
                        int length = there + beyond[i];
                        ssize_t want = there || !length ? there : -EFAULT, got;
                        unsigned char *buffer = pages + page - there;
                        if (pwrite(file, content, sizeof content, 0) != sizeof content)
                            return perror("pwrite"), 1;
                        memset(pages, 0xee, page);
                        got = pread(file, buffer, length, at);
                        wrong += (got < 0 ? -errno : got) != want || memcmp(buffer, content + at, there) || there < page && buffer[-1] != 0xee;
                        memcpy(buffer, content + page, there);
                        got = pwrite(file, buffer, length, at);
                        wrong += (got < 0 ? -errno : got) != want || pread(file, seen, sizeof seen, 0) != sizeof seen ||
                            memcmp(seen, content, at) || memcmp(seen + at, content + page, there) || memcmp(seen + at + there, content + at + there, sizeof seen - at - there);
                        checks += 2;
                    }
            printf("%d checks, %d wrong\n", checks, wrong);
        }
        """;

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Reads_and_writes_end_where_the_programs_memory_does(string name)
    {
        var runtime = Runtime(name);
        var bundle = Bundle();
        var source = $"{bundle.Path}/copy.c";
        await File.WriteAllTextAsync(source, Source);
        var gcc = await HostCommand.RunAsync("gcc", ["-static", "-O1", "-w", "-o", $"{bundle.Rootfs}/bin/copy", source]);
        Assert.True(gcc.ExitCode == 0, gcc.ToString());
        bundle.Write(["copy"]);
        var run = await runtime.RunAsync("run", "--bundle", bundle.Path, Id);
        Assert.Equal("67312 checks, 0 wrong", run.Text);
    }
}
