using KataLike.Runtime.Storage;

namespace KataLike.Runtime.Tests.Storage;

public class VirtiofsdTests
{
    [Fact]
    public void TheCProgramIsTakenForWhatItIs()
    {
        const string version = "virtiofsd version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) 2003-2022 Fabrice Bellard and the QEMU Project developers\nusing FUSE kernel interface version 7.36\n";
        Assert.Equal(VirtiofsdGeneration.C, Virtiofsd.GenerationOf(version));
        Assert.Equal(
            @"--fd=3 --rlimit-nofile=0 -o source=/r/a\,b -o sandbox=namespace,cache=auto,xattr,announce_submounts,log_level=warn",
            string.Join(' ', Virtiofsd.CommandLine(VirtiofsdGeneration.C, "/r/a,b", accessLists: false)));
        Assert.Contains(",xattr,posix_acl,", Virtiofsd.CommandLine(VirtiofsdGeneration.C, "/r", accessLists: true)[^1], StringComparison.Ordinal);
    }

    [Fact]
    public void TheRustProgramIsTakenForWhatItIs()
    {
        Assert.Equal(VirtiofsdGeneration.Rust, Virtiofsd.GenerationOf("virtiofsd 1.13.2\n"));
        Assert.Equal(
            "--fd=3 --rlimit-nofile=0 --shared-dir /r --sandbox namespace --cache auto --xattr --announce-submounts --log-level warn",
            string.Join(' ', Virtiofsd.CommandLine(VirtiofsdGeneration.Rust, "/r", accessLists: false)));
        Assert.Contains("--posix-acl", Virtiofsd.CommandLine(VirtiofsdGeneration.Rust, "/r", accessLists: true));
    }
}
