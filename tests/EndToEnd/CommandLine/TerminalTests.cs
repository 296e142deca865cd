using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>Terminals: one that the caller gets over --console-socket, and the caller's own.</summary>
public sealed class TerminalTests : CommandLineCase
{
    /// <summary>Plays conmon: takes the terminal from the socket, sets its size, types, and prints what comes back.</summary>
    private const string Conmon = """
        import array, fcntl, os, socket, struct, subprocess, sys, termios
        path, size, command = sys.argv[1], sys.argv[2], sys.argv[3:]
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)
        null = open(os.devnull)
        child = subprocess.Popen(command, stdin=null, stdout=null)
        connection, _ = listener.accept()
        name, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4))
        terminal = array.array('i', ancillary[0][2])[0]
        if child.wait() != 0:
            sys.exit(100)
        rows, columns = map(int, size.split('x'))
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
        subprocess.check_call(command[:command.index('create')] + ['start', command[-1]])
        os.write(terminal, b'hello\n')
        while True:
            try:
                data = os.read(terminal, 4096)
            except OSError:
                break
            if not data:
                break
            sys.stdout.buffer.write(data)
        """;

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task The_console_socket_gets_a_terminal_that_works(string name)
    {
        var runtime = Runtime(name);
        Skip.IfNot(File.Exists("/usr/bin/python3"), "python3 is not there");
        var bundle = Bundle();
        bundle.Write(
            ["sh", "-c", "read line; while ! stty size | grep -q '37 91'; do sleep 0.1; done; tty; stty size; echo got $line"],
            spec => spec["process"]!["terminal"] = true);
        File.CreateSymbolicLink($"{bundle.Rootfs}/bin/grep", "busybox");

        var result = await HostCommand.RunAsync("/usr/bin/python3",
            ["-c", Conmon, $"{Directory}/console.sock", "37x91", runtime.Program, "--root", runtime.Root, "create", "--bundle", bundle.Path, "--console-socket", $"{Directory}/console.sock", Id]);
        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Equal("hello\n/dev/pts/0\n37 91\ngot hello", result.Text);
    }

    [SkippableTheory]
    [InlineData("runc")]
    [InlineData("katalike")]
    public async Task Run_and_exec_on_a_terminal_use_it_and_give_it_back(string name)
    {
        var runtime = Runtime(name);
        Skip.IfNot(File.Exists("/usr/bin/script"), "script is not there");
        var bundle = Bundle();
        bundle.Write(["sh", "-c", "test -t 0 && test -t 1 && tty; exit 5"], spec => spec["process"]!["terminal"] = true);
        var command = $"stty rows 33 cols 77; before=$(stty -g); {runtime.Program} --root {runtime.Root} run --bundle {bundle.Path} {Id}; echo code $?; test \"$before\" = \"$(stty -g)\" && echo restored";
        var result = await HostCommand.RunAsync("/usr/bin/script", ["-qec", command, "/dev/null"]);
        Assert.EndsWith("/dev/pts/0\ncode 5\nrestored", result.Text, StringComparison.Ordinal);
    }
}
