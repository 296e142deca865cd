using System.Text;

namespace KataLike.Linux.Tests;

/// <summary>Copies of processes that were captured while they waited.</summary>
public sealed class ProcessImageTests : IDisposable
{
    // Two threads, each of which has state in its registers, on its stack and in the heap when the process is captured. With an argument, a socket; with
    // two, descriptor 3 is a file of two pages that others share, whose first bytes it tells and counts up; with three, it has 64 pages that it has
    // written, tells where, and looks at one of them for each line.
    private const string Source = """
        #define _GNU_SOURCE
        #include <dirent.h>
        #include <pthread.h>
        #include <semaphore.h>
        #include <signal.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/mman.h>
        #include <sys/socket.h>
        #include <unistd.h>
        static sem_t asked, answered;
        static int count, thread;
        static char many[64 * 4096] __attribute__((aligned(65536)));
        static void on_signal(int signal) { write(1, "signalled\n", 10); }
        static void *answer(void *first) {
            for (int next = *(int *)first; ; next++) { sem_wait(&asked); count = next; thread = gettid(); sem_post(&answered); }
        }
        static int descriptors(void) {
            DIR *directory = opendir("/proc/self/fd");
            int found = -3;
            while (readdir(directory)) found++;
            closedir(directory);
            return found;
        }
        int main(int arguments, char **argument) {
            int first = 42;
            char *line = NULL, *shared = NULL;
            size_t size = 0;
            pthread_t other;
            signal(SIGUSR1, on_signal);
            setvbuf(stdout, NULL, _IOLBF, 0);
            if (arguments == 2) socket(AF_UNIX, SOCK_STREAM, 0);
            if (arguments == 3) shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0);
            if (arguments == 4) memset(many, 7, sizeof many);
            sem_init(&asked, 0, 0);
            sem_init(&answered, 0, 0);
            pthread_create(&other, NULL, answer, &first);
            puts("ready");
            for (ssize_t length; (length = getline(&line, &size, stdin)) > 0;) {
                line[length - 1] = 0;
                sem_post(&asked);
                sem_wait(&answered);
                if (shared) { printf("%d %d\n", shared[0]++, shared[4096]++); continue; }
                if (arguments == 4) { printf("%p %d\n", many, many[atoi(line) * 4096]); continue; }
                printf("%s %d %d %d %d\n", line, count, thread, getpid(), descriptors());
            }
        }
        """;

    private static readonly Lazy<string?> _program = new(Compile);

    private readonly List<IDisposable> _open = [];
    private readonly string _image = Path.GetTempFileName();

    public void Dispose()
    {
        _open.Reverse();
        _open.ForEach(open => open.Dispose());
        File.Delete(_image);
    }

    private T Keep<T>(T open) where T : IDisposable
    {
        _open.Add(open);
        return open;
    }

    /// <summary>Null: there is no compiler.</summary>
    private static string? Compile()
    {
        if (!File.Exists("/usr/bin/gcc"))
            return null;
        var program = Path.Combine(AppContext.BaseDirectory, "waiting");
        File.WriteAllText(program + ".c", Source);
        using var gcc = ChildProcess.Start(new ProcessStart
        {
            Path = "/usr/bin/gcc",
            Arguments = ["gcc", "-pie", "-fPIE", "-pthread", "-w", "-o", program, program + ".c"],
            Environment = ["PATH=/usr/bin:/bin"],
        });
        Assert.Equal(new ExitStatus(Signalled: false, 0), gcc.Exited.Result);
        return program;
    }

    private static ProcessStart Waiting(params string[] arguments)
    {
        Skip.IfNot(System.Runtime.InteropServices.RuntimeInformation.OSArchitecture == System.Runtime.InteropServices.Architecture.X64, "x86-64 only");
        Skip.If(_program.Value is null, "needs gcc");
        return new ProcessStart { Path = _program.Value!, Arguments = ["waiting", .. arguments] };
    }

    /// <summary>A process and its other ends.</summary>
    private sealed class Talk(ChildProcess process, FileDescriptor input, FileDescriptor output) : IDisposable
    {
        public ChildProcess Process { get; } = process;

        public string Ask(string line)
        {
            Files.Write(input, Encoding.UTF8.GetBytes(line + "\n"));
            return Read();
        }

        public string Read()
        {
            var text = new StringBuilder();
            Span<byte> one = stackalloc byte[1];
            while (Files.Read(output, one) == 1 && one[0] != '\n')
                text.Append((char)one[0]);
            return text.ToString();
        }

        public void Dispose()
        {
            Process.Signal(9);
            Process.Exited.Wait();
            Process.Dispose();
            input.Dispose();
            output.Dispose();
        }
    }

    private Talk Start(ProcessStart start, Func<ProcessStart, ChildProcess>? launch = null)
    {
        var (theirInput, input) = Files.Pipe();
        var (output, theirOutput) = Files.Pipe();
        using (theirInput)
        using (theirOutput)
        {
            start = start with { Descriptors = [(theirInput, 0), (theirOutput, 1), (theirOutput, 2), .. start.Descriptors] };
            return Keep(new Talk((launch ?? (given => ChildProcess.Start(given)))(start), input, output));
        }
    }

    private Talk StartCopy(long offset = 0, params (FileDescriptor File, int Number)[] descriptors)
    {
        var file = Keep(Files.Open(_image, Files.ReadOnly));
        var head = new byte[ProcessImage.HeadSize];
        Files.ReadAt(file, offset, head);
        Assert.True(ProcessImage.Fits(head));
        return Start(Waiting() with { Descriptors = descriptors }, start => ProcessImage.Start(start, given => ChildProcess.Start(given), file, offset, head));
    }

    /// <summary>Gives the image another beginning.</summary>
    private void Foresee(WorkingSet pages)
    {
        using var file = Files.Open(_image, Files.ReadWrite);
        var head = new byte[ProcessImage.HeadSize];
        Files.ReadAt(file, 0, head);
        Files.WriteAt(file, 0, ProcessImage.Foresee(head, pages));
    }

    private void Capture(Talk talk, long offset = 0, int given = 3, params FilePart[] kept)
    {
        // Its threads are on the way to where they wait.
        Thread.Sleep(200);
        using var image = new FileStream(_image, FileMode.Create);
        ProcessCapture.Write(talk.Process.Pid, given, kept, image);
        if (offset == 0)
            return;
        var bytes = new byte[image.Length];
        image.Position = 0;
        image.ReadExactly(bytes);
        image.Position = offset;
        image.Write(bytes);
    }

    private Talk Ready(params string[] arguments)
    {
        var talk = Start(Waiting(arguments));
        Assert.Equal("ready", talk.Read());
        return talk;
    }

    [SkippableTheory]
    [InlineData(0)]
    [InlineData(8192)]
    public void Copies_go_on_where_the_first_one_stood(long offset)
    {
        var first = Ready();
        Assert.StartsWith("one 42 ", first.Ask("one"), StringComparison.Ordinal);
        Capture(first, offset);
        var copies = new[] { StartCopy(offset), StartCopy(offset) };
        foreach (var copy in copies)
        {
            var fields = copy.Ask("two").Split(' ');
            Assert.Equal(["two", "43"], fields[..2]);
            // The kernel and the C library agree on who it is, and it has no descriptor more than the first one.
            Assert.Equal($"{copy.Process.Pid}", fields[3]);
            Assert.True(Directory.Exists($"/proc/{copy.Process.Pid}/task/{fields[2]}"));
            Assert.Equal("3", fields[4]);
        }
        Assert.StartsWith("three 44 ", copies[0].Ask("three"), StringComparison.Ordinal);
        // The one that was captured, and the other copy, know nothing of that.
        Assert.StartsWith("three 43 ", first.Ask("three"), StringComparison.Ordinal);
        Assert.StartsWith("four 44 ", copies[1].Ask("four"), StringComparison.Ordinal);
        Assert.Equal("waiting", File.ReadAllText($"/proc/{copies[0].Process.Pid}/comm").Trim());
    }

    [SkippableFact]
    public void Copies_have_its_signal_handlers_and_grow()
    {
        var first = Ready();
        Capture(first);
        var copy = StartCopy();
        Assert.StartsWith("one 42 ", copy.Ask("one"), StringComparison.Ordinal);
        const int user1 = 10;
        copy.Process.Signal(user1);
        Assert.Equal("signalled", copy.Read());
        // More than the heap and the first stack had.
        var large = new string('x', 60_000);
        Assert.StartsWith($"{large} 43 ", copy.Ask(large), StringComparison.Ordinal);
    }

    [SkippableFact]
    public void What_is_kept_of_a_shared_file_is_each_copys_own()
    {
        var firsts = TwoPages(7, 9);
        var first = Start(Waiting("two", "pages") with { Descriptors = [(firsts, 3)] });
        Assert.Equal("ready", first.Read());
        Assert.Equal("7 9", first.Ask("it"));
        Capture(first, given: 4, kept: new FilePart(3, 4096, 4096));
        var theirs = TwoPages(1, 2);
        var copy = StartCopy(descriptors: (theirs, 3));
        Assert.Equal("1 10", copy.Ask("it"));
        Assert.Equal("2 11", copy.Ask("it"));
        // Others who have the file see the one page, and nothing of the other.
        Assert.Equal((3, 2), (First(theirs, 0), First(theirs, 4096)));
        Assert.Equal("1 10", StartCopy(descriptors: (TwoPages(1, 2), 3)).Ask("it"));
        Assert.Equal("8 10", first.Ask("it"));
    }

    /// <summary>Addresses.</summary>
    private static HashSet<ulong> Pages(IEnumerable<(ulong Start, ulong Length)> runs) =>
        [.. runs.SelectMany(run => Enumerable.Range(0, (int)(run.Length / 4096)).Select(page => run.Start + (ulong)page * 4096))];

    [SkippableFact]
    public void Copies_have_at_once_what_was_foreseen_and_go_on()
    {
        var first = Ready();
        Assert.StartsWith("one 42 ", first.Ask("one"), StringComparison.Ordinal);
        Capture(first);
        var example = StartCopy();
        Assert.StartsWith("two 43 ", example.Ask("two"), StringComparison.Ordinal);
        var used = WorkingSet.Of(example.Process.Pid);
        var (read, written) = (Pages(used.Read), Pages(used.Written));
        Assert.NotEmpty(read);
        Assert.NotEmpty(written);
        Foresee(used);
        var copy = StartCopy();
        // It waits for a line, and has used less by itself.
        Assert.True(SpinWait.SpinUntil(() => WorkingSet.Of(copy.Process.Pid) is var now && written.IsSubsetOf(Pages(now.Written)) && read.IsSubsetOf(Pages(now.Read)), 10_000));
        Assert.StartsWith("two 43 ", copy.Ask("two"), StringComparison.Ordinal);
        Assert.StartsWith("three 44 ", copy.Ask("three"), StringComparison.Ordinal);
    }

    [SkippableFact]
    public void Copies_get_no_pages_that_they_do_not_use()
    {
        var first = Ready("64", "written", "pages");
        Skip.If(Environment.OSVersion.Version < new Version(6, 7), "needs Linux 6.7");
        Assert.EndsWith(" 7", first.Ask("0"), StringComparison.Ordinal);
        Capture(first);
        Assert.True(Present(StartCopy()) > 8);
        Foresee(WorkingSet.Empty);
        Assert.Equal(1, Present(StartCopy()));

        static int Present(Talk copy)
        {
            var answer = copy.Ask("21").Split(' ');
            Assert.Equal("7", answer[1]);
            var start = Convert.ToUInt64(answer[0], 16);
            return Pages(WorkingSet.Of(copy.Process.Pid).Read).Count(page => page >= start && page < start + 64 * 4096);
        }
    }

    [Fact]
    public void Gaps_between_runs_of_pages_are_filled()
    {
        List<(ulong, ulong)> runs = [(0, 1), (2, 1), (5, 2), (8, 1)];
        PageRuns.Merge(runs, 1);
        Assert.Equal([(0, 3), (5, 4)], runs);
        PageRuns.Merge(runs, 2);
        Assert.Equal([(0, 9)], runs);
        List<(ulong, ulong)> none = [];
        PageRuns.Merge(none, 1);
        Assert.Empty(none);
    }

    private FileDescriptor TwoPages(byte one, byte other)
    {
        var file = Keep(Memory.CreateFile("pages", 8192));
        Files.WriteAt(file, 0, [one]);
        Files.WriteAt(file, 4096, [other]);
        return file;
    }

    private static byte First(FileDescriptor file, long offset)
    {
        var bytes = new byte[1];
        Files.ReadAt(file, offset, bytes);
        return bytes[0];
    }

    [SkippableFact]
    public async Task A_copy_that_cannot_be_made_ends_with_an_errors_number()
    {
        var first = Ready();
        Capture(first);
        var head = new byte[ProcessImage.HeadSize];
        using var file = Files.Open(_image, Files.ReadOnly);
        Files.ReadAt(file, 0, head);
        // Without the image's file, as if that could not be mapped.
        var start = Waiting() with { Descriptors = [] };
        using var copy = ProcessImage.Start(start, given => ChildProcess.Start(given with { Descriptors = [.. given.Descriptors.Where(d => d.File != file)] }), file, 0, head);
        Assert.Equal(new ExitStatus(Signalled: false, (int)Errno.EBADF), await copy.Exited);
    }

    [SkippableFact]
    public void A_process_with_what_cannot_be_kept_is_refused_and_goes_on()
    {
        var talk = Ready("with a socket");
        var refused = Assert.Throws<InvalidDataException>(() => Capture(talk));
        Assert.StartsWith("descriptor 3 is socket:", refused.Message, StringComparison.Ordinal);
        Assert.StartsWith("on 42 ", talk.Ask("on"), StringComparison.Ordinal);
    }

    [SkippableFact]
    public void An_image_does_not_fit_once_a_file_that_was_mapped_is_another()
    {
        var first = Ready();
        Capture(first);
        var head = new byte[ProcessImage.HeadSize];
        using var file = Files.Open(_image, Files.ReadOnly);
        Files.ReadAt(file, 0, head);
        var time = File.GetLastWriteTimeUtc(_program.Value!);
        File.SetLastWriteTimeUtc(_program.Value!, time.AddSeconds(1));
        Assert.False(ProcessImage.Fits(head));
        File.SetLastWriteTimeUtc(_program.Value!, time);
        Assert.True(ProcessImage.Fits(head));
    }

    [Fact]
    public void An_image_that_has_changed_fits_nowhere()
    {
        var image = ProcessImage.Empty();
        Assert.True(ProcessImage.IsEmpty(image));
        Assert.True(ProcessImage.Fits(image));
        foreach (var place in (int[])[0, 104, 112, 113, 256, image.Length / 2, image.Length - 1])
        {
            image[place] ^= 1;
            Assert.False(ProcessImage.Fits(image));
            image[place] ^= 1;
        }
        Assert.True(ProcessImage.Fits(image));
        Assert.False(ProcessImage.Fits(image.AsSpan(0, 4096)));
        Assert.False(ProcessImage.Fits([]));
        Assert.False(ProcessImage.Fits(new byte[ProcessImage.HeadSize]));
        new Random(1).NextBytes(image);
        Assert.False(ProcessImage.Fits(image));
    }
}
