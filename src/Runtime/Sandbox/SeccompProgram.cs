using System.Buffers.Binary;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Runtime.Sandboxes;

/// <summary>
/// linux.seccomp as the program that the guest's kernel runs, compiled here because libseccomp is on the host; by the
/// rules of runc where the specification leaves a choice.
/// </summary>
/// <param name="Code">struct sock_filter, 8 bytes each.</param>
/// <param name="Flags">SECCOMP_FILTER_FLAG_*.</param>
internal sealed record SeccompProgram(byte[] Code, uint Flags)
{
    private const uint NoSuchCall = 38; // ENOSYS
    private const uint NotPermitted = 1; // EPERM
    private const uint X32 = 0x40000000; // in the number of a call

    private static readonly Dictionary<string, uint> _flags = new()
    {
        ["SECCOMP_FILTER_FLAG_TSYNC"] = 1,
        ["SECCOMP_FILTER_FLAG_LOG"] = 2,
        ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"] = 4,
        // It is about those who listen to SCMP_ACT_NOTIFY, and the kernel refuses it where there is none.
        ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"] = 0,
    };

    /// <exception cref="RuntimeException">libseccomp is missing, or the profile asks for what cannot be.</exception>
    public static SeccompProgram Compile(Seccomp profile)
    {
        try
        {
            var architectures = (profile.Architectures ?? []).Select(Architecture).ToList();
            var otherwise = Action(profile.DefaultAction, profile.DefaultErrnoRet);
            using var filter = SeccompFilter.Create(otherwise);
            architectures.ForEach(filter.Add);
            foreach (var rule in profile.Syscalls ?? [])
                Add(filter, rule, otherwise);
            return new SeccompProgram(
                [.. NewerCalls(profile, architectures), .. filter.Export()],
                (profile.Flags ?? []).Aggregate(0u, (all, flag) => all | _flags[flag]));
        }
        catch (DllNotFoundException error)
        {
            throw new RuntimeException("linux.seccomp: libseccomp.so.2 is not on this host: install libseccomp2", cause: error);
        }
        catch (LinuxException error)
        {
            throw new RuntimeException($"linux.seccomp: {error.Message}", cause: error);
        }
    }

    private static void Add(SeccompFilter filter, SeccompRule rule, SeccompAction otherwise)
    {
        var action = Action(rule.Action, rule.ErrnoRet);
        if (action == otherwise)
            return;
        var conditions = (rule.Args ?? []).Select(Condition).ToArray();
        // libseccomp takes one condition for each argument; more of them become rules of their own, as with runc.
        var apart = conditions.DistinctBy(condition => condition.Argument).Count() < conditions.Length;
        foreach (var name in rule.Names!)
        {
            if (SeccompFilter.Number(name) is not { } number)
                continue;
            if (!apart)
                Add(filter, action, name, number, conditions);
            foreach (var condition in apart ? conditions : [])
                Add(filter, action, name, number, [condition]);
        }
    }

    private static void Add(SeccompFilter filter, SeccompAction action, string name, int number, ReadOnlySpan<SeccompCondition> conditions)
    {
        try
        {
            filter.Add(action, number, conditions);
        }
        catch (LinuxException error)
        {
            throw new RuntimeException($"linux.seccomp: cannot add a rule for {name}: {error.Errno.Text()}", cause: error);
        }
    }

    private static SeccompCondition Condition(SeccompArgument argument) => new(
        argument.Index,
        argument.Op switch
        {
            "SCMP_CMP_NE" => SeccompOperator.NotEqual,
            "SCMP_CMP_LT" => SeccompOperator.Less,
            "SCMP_CMP_LE" => SeccompOperator.LessOrEqual,
            "SCMP_CMP_EQ" => SeccompOperator.Equal,
            "SCMP_CMP_GE" => SeccompOperator.GreaterOrEqual,
            "SCMP_CMP_GT" => SeccompOperator.Greater,
            _ => SeccompOperator.MaskedEqual,
        },
        argument.Value, argument.ValueTwo);

    private static SeccompAction Action(string name, uint? errno) => name switch
    {
        "SCMP_ACT_KILL" or "SCMP_ACT_KILL_THREAD" => SeccompAction.KillThread,
        "SCMP_ACT_KILL_PROCESS" => SeccompAction.KillProcess,
        "SCMP_ACT_TRAP" => SeccompAction.Trap,
        "SCMP_ACT_ERRNO" => SeccompAction.Errno(errno ?? NotPermitted),
        "SCMP_ACT_TRACE" => SeccompAction.Trace(errno ?? NotPermitted),
        "SCMP_ACT_ALLOW" => SeccompAction.Allow,
        "SCMP_ACT_LOG" => SeccompAction.Log,
        _ => throw new RuntimeException($"linux.seccomp: {name} is not supported: its listener is on the host, the call is in the guest"),
    };

    private static uint Architecture(string name) =>
        SeccompFilter.Architecture(name["SCMP_ARCH_".Length..].ToLowerInvariant())
        ?? throw new RuntimeException($"linux.seccomp.architectures: this host's libseccomp does not know {name}");

    /// <summary>
    /// Calls that are newer than all that a restrictive profile names fail with ENOSYS, so that programs fall back to
    /// older ones: runc's rule for profiles that were written before a call was.
    /// </summary>
    private static IEnumerable<byte> NewerCalls(Seccomp profile, IEnumerable<uint> architectures)
    {
        if (profile.DefaultAction is "SCMP_ACT_ALLOW" or "SCMP_ACT_LOG" or "SCMP_ACT_TRACE" || profile.DefaultErrnoRet == NoSuchCall)
            yield break;
        var names = (profile.Syscalls ?? []).SelectMany(rule => rule.Names!).Distinct().ToList();
        foreach (var architecture in architectures.Append(SeccompFilter.Native).Distinct())
        {
            if (names.Max(name => SeccompFilter.Number(name, architecture)) is not { } last)
                continue;
            foreach (var instruction in NewerCalls(architecture, (uint)last))
            {
                var bytes = new byte[8];
                BinaryPrimitives.WriteUInt64LittleEndian(bytes, instruction);
                foreach (var one in bytes)
                    yield return one;
            }
        }
    }

    private static IEnumerable<ulong> NewerCalls(uint architecture, uint last)
    {
        const uint load = 0x20, jumpIfEqual = 0x15, jumpIfGreater = 0x25, jumpIfSet = 0x45, answer = 0x06;
        const uint number = 0, token = 4; // struct seccomp_data
        // The kernel has one token for x86-64 and its x32, and tells them apart by the number.
        var isX32 = (last & X32) != 0;
        var hasTwo = isX32 || architecture == SeccompFilter.Native;
        yield return Instruction(load, token);
        yield return Instruction(jumpIfEqual, isX32 ? SeccompFilter.Native : architecture, 0, hasTwo ? 4 : 3);
        yield return Instruction(load, number);
        if (hasTwo)
            yield return isX32 ? Instruction(jumpIfSet, X32, 0, 2) : Instruction(jumpIfSet, X32, 2, 0);
        yield return Instruction(jumpIfGreater, last, 0, 1);
        yield return Instruction(answer, SeccompAction.Errno(NoSuchCall).Value);

        static ulong Instruction(uint code, uint value, int ifTrue = 0, int ifFalse = 0) =>
            code | (ulong)ifTrue << 16 | (ulong)ifFalse << 24 | (ulong)value << 32;
    }
}
