using System.Buffers.Binary;
using KataLike.Contract.Oci;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Tests.Sandboxes;

/// <summary>What the compiled program answers, by running it as the kernel does (classic BPF over struct seccomp_data).</summary>
public class SeccompProgramTests
{
    private const uint X64 = 0xc000003e, X86 = 0x40000003;
    private const uint Allow = 0x7fff0000, Kill = 0, Log = 0x7ffc0000, KillProcess = 0x80000000;
    private const uint Read = 0, Socket = 41, Clone = 56, Mkdir = 83, Personality = 135, Statx = 332, Cachestat = 451;

    private static uint Errno(uint number) => 0x50000 | number;

    private static SeccompRule Rule(string action, params string[] names) => new() { Action = action, Names = names };

    private static Seccomp Profile(string otherwise, params SeccompRule[] rules) => new() { DefaultAction = otherwise, Syscalls = rules };

    private static uint Answer(Seccomp profile, uint number, uint architecture = X64, params ulong[] arguments)
    {
        var data = new byte[64];
        BinaryPrimitives.WriteUInt32LittleEndian(data, number);
        BinaryPrimitives.WriteUInt32LittleEndian(data.AsSpan(4), architecture);
        for (var i = 0; i < arguments.Length; i++)
            BinaryPrimitives.WriteUInt64LittleEndian(data.AsSpan(16 + 8 * i), arguments[i]);
        return Run(SeccompProgram.Compile(profile).Code, data);
    }

    private static uint Run(ReadOnlySpan<byte> code, ReadOnlySpan<byte> data)
    {
        var accumulator = 0u;
        for (var at = 0; ; at++)
        {
            var instruction = code.Slice(at * 8, 8);
            var value = BinaryPrimitives.ReadUInt32LittleEndian(instruction[4..]);
            var (ifTrue, ifFalse) = (instruction[2], instruction[3]);
            switch (BinaryPrimitives.ReadUInt16LittleEndian(instruction))
            {
                case 0x20: accumulator = BinaryPrimitives.ReadUInt32LittleEndian(data[(int)value..]); break;
                case 0x54: accumulator &= value; break;
                case 0x05: at += (int)value; break;
                case 0x15: at += accumulator == value ? ifTrue : ifFalse; break;
                case 0x25: at += accumulator > value ? ifTrue : ifFalse; break;
                case 0x35: at += accumulator >= value ? ifTrue : ifFalse; break;
                case 0x45: at += (accumulator & value) != 0 ? ifTrue : ifFalse; break;
                case 0x06: return value;
                case var unknown: throw new InvalidDataException($"opcode {unknown:x}");
            }
        }
    }

    [Fact]
    public void ActionsAndTheirErrorNumbers()
    {
        var profile = Profile("SCMP_ACT_ALLOW",
            Rule("SCMP_ACT_ERRNO", "mkdir"), Rule("SCMP_ACT_ERRNO", "socket") with { ErrnoRet = 38 },
            Rule("SCMP_ACT_KILL", "clone"), Rule("SCMP_ACT_KILL_PROCESS", "personality"), Rule("SCMP_ACT_LOG", "statx"));
        Assert.Equal(
            [Allow, Errno(1), Errno(38), Kill, KillProcess, Log],
            new uint[] { Read, Mkdir, Socket, Clone, Personality, Statx }.Select(number => Answer(profile, number)));
        Assert.Equal(Errno(7), Answer(Profile("SCMP_ACT_ERRNO", Rule("SCMP_ACT_ALLOW", "statx")) with { DefaultErrnoRet = 7 }, Mkdir));
        Assert.Equal(0x30000u, Answer(Profile("SCMP_ACT_TRAP", Rule("SCMP_ACT_ALLOW", "statx")), Mkdir));
        Assert.Equal(0x7ff00005u, Answer(Profile("SCMP_ACT_ALLOW", Rule("SCMP_ACT_TRACE", "mkdir") with { ErrnoRet = 5 }), Mkdir));
    }

    [Theory]
    [InlineData("SCMP_CMP_NE", 5, 4, true)]
    [InlineData("SCMP_CMP_NE", 5, 5, false)]
    [InlineData("SCMP_CMP_LT", 5, 4, true)]
    [InlineData("SCMP_CMP_LT", 5, 5, false)]
    [InlineData("SCMP_CMP_LE", 5, 5, true)]
    [InlineData("SCMP_CMP_LE", 5, 6, false)]
    [InlineData("SCMP_CMP_EQ", 0x100000005, 0x100000005, true)]
    [InlineData("SCMP_CMP_EQ", 0x100000005, 5, false)]
    [InlineData("SCMP_CMP_GE", 5, 5, true)]
    [InlineData("SCMP_CMP_GE", 5, 4, false)]
    [InlineData("SCMP_CMP_GT", 5, 6, true)]
    [InlineData("SCMP_CMP_GT", 5, 5, false)]
    public void Operators(string operation, ulong value, ulong argument, bool matches)
    {
        var rule = Rule("SCMP_ACT_ERRNO", "personality") with { Args = [new SeccompArgument { Index = 0, Value = value, Op = operation }] };
        Assert.Equal(matches ? Errno(1) : Allow, Answer(Profile("SCMP_ACT_ALLOW", rule), Personality, X64, argument));
    }

    [Fact]
    public void ConditionsOnSeveralArgumentsMustAllHoldAndThoseOnOneEach()
    {
        // clone without new namespaces, as the profiles of engines have it.
        var masked = Rule("SCMP_ACT_ALLOW", "clone") with
        {
            Args = [new SeccompArgument { Index = 0, Value = 0x7e020000, ValueTwo = 0, Op = "SCMP_CMP_MASKED_EQ" }],
        };
        var profile = Profile("SCMP_ACT_ERRNO", masked, Rule("SCMP_ACT_ALLOW", "statx"));
        Assert.Equal(Allow, Answer(profile, Clone, X64, 17));
        Assert.Equal(Errno(1), Answer(profile, Clone, X64, 0x10000000 | 17));

        SeccompArgument Equal(uint index, ulong value) => new() { Index = index, Value = value, Op = "SCMP_CMP_EQ" };
        var both = Profile("SCMP_ACT_ALLOW", Rule("SCMP_ACT_ERRNO", "socket") with { Args = [Equal(0, 16), Equal(2, 9)] });
        Assert.Equal([Errno(1), Allow, Allow], new (ulong, ulong)[] { (16, 9), (16, 8), (2, 9) }.Select(call => Answer(both, Socket, X64, call.Item1, 0, call.Item2)));
        var either = Profile("SCMP_ACT_ALLOW", Rule("SCMP_ACT_ERRNO", "socket") with { Args = [Equal(0, 16), Equal(0, 17)] });
        Assert.Equal([Errno(1), Errno(1), Allow], new ulong[] { 16, 17, 2 }.Select(family => Answer(either, Socket, X64, family)));
    }

    [Fact]
    public void ArchitecturesOtherThanThoseNamedAreKilled()
    {
        var profile = Profile("SCMP_ACT_ALLOW", Rule("SCMP_ACT_ERRNO", "mkdir"));
        Assert.Equal(Kill, Answer(profile, 39, X86));
        var both = profile with { Architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"] };
        Assert.Equal([Errno(1), Errno(1), Errno(1)], [Answer(both, Mkdir), Answer(both, 39, X86), Answer(both, 0x40000000 + Mkdir)]);
    }

    [Fact]
    public void CallsNewerThanARestrictiveProfileDoNotExist()
    {
        const uint enosys = 38;
        var rules = new[] { Rule("SCMP_ACT_ALLOW", "read", "statx", "a_call_of_the_future", "arm_fadvise64_64") };
        var profile = Profile("SCMP_ACT_ERRNO", rules) with { Architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"] };
        Assert.Equal([Allow, Allow, Errno(1), Errno(enosys)], new uint[] { Read, Statx, Mkdir, Cachestat }.Select(number => Answer(profile, number)));
        Assert.Equal([Errno(1), Allow, Errno(enosys)], new uint[] { 39, 383, Cachestat }.Select(number => Answer(profile, number, X86)));
        Assert.Equal(Kill, Answer(profile, 0x40000000 + Cachestat));

        var x32 = profile with { Architectures = ["SCMP_ARCH_X32"] };
        Assert.Equal([Errno(enosys), Errno(enosys)], [Answer(x32, Cachestat), Answer(x32, 0x40000000 + Cachestat)]);
        Assert.Equal([Allow, Allow], [Answer(x32, Statx), Answer(x32, 0x40000000 + Statx)]);

        Assert.Equal(Log, Answer(Profile("SCMP_ACT_LOG", rules), Cachestat));
        Assert.Equal(Kill, Answer(Profile("SCMP_ACT_KILL", rules), Mkdir));
        Assert.Equal(Errno(enosys), Answer(Profile("SCMP_ACT_KILL", rules), Cachestat));
    }

    [Fact]
    public void FlagsAreTheKernels() => Assert.Equal(7u, SeccompProgram.Compile(Profile("SCMP_ACT_ALLOW") with
    {
        Flags = ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
    }).Flags);

    [Theory]
    [InlineData("SCMP_ACT_NOTIFY", "SCMP_ARCH_X86", "linux.seccomp: SCMP_ACT_NOTIFY is not supported: its listener is on the host, the call is in the guest")]
    [InlineData("SCMP_ACT_ALLOW", "SCMP_ARCH_PDP11", "linux.seccomp.architectures: this host's libseccomp does not know SCMP_ARCH_PDP11")]
    public void WhatCannotBeIsRefused(string action, string architecture, string message) => Assert.Equal(
        message,
        Assert.Throws<RuntimeException>(() => SeccompProgram.Compile(Profile(action) with { Architectures = [architecture] })).Message);
}
