namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int SYS_fchown = 93, SYS_setgroups = 116, SYS_setresuid = 117, SYS_setresgid = 119, SYS_capset = 126;
    internal const int SYS_personality = 135;
    internal const int SYS_keyctl = 250, SYS_prlimit64 = 302, SYS_seccomp = 317;

    internal const int PR_SET_KEEPCAPS = 8, PR_CAPBSET_DROP = 24;
    internal const int PR_CAP_AMBIENT = 47, PR_CAP_AMBIENT_RAISE = 2, PR_CAP_AMBIENT_CLEAR_ALL = 4;
    internal const int _LINUX_CAPABILITY_VERSION_3 = 0x20080522;
    internal const int KEYCTL_JOIN_SESSION_KEYRING = 1;
    internal const int SECCOMP_SET_MODE_FILTER = 1;

    internal struct sock_fprog
    {
        internal ushort len;
        internal nint filter;
    }
}

/// <summary>The five sets of capabilities(7); bit n is capability n.</summary>
public readonly record struct CapabilitySets(ulong Bounding, ulong Effective, ulong Inheritable, ulong Permitted, ulong Ambient)
{
    /// <summary>These, and more in force until they are dropped.</summary>
    public CapabilitySets With(ulong more) => this with { Effective = Effective | more, Permitted = Permitted | more };
}

/// <summary>Steps that decide who the child is and what it may do.</summary>
public sealed unsafe partial class LaunchPlan
{
    /// <summary>Keeps processes of the joined namespaces from tracing the child before it has dropped what it holds.</summary>
    public void ForbidTracing() => Prctl("PR_SET_DUMPABLE", 0, Libc.PR_SET_DUMPABLE, 0);

    /// <summary>Becomes the root user of the child's user namespace, which has an id for it by now.</summary>
    public void BecomeRoot()
    {
        Add("setresgid", "0", Libc.SYS_setresgid, 0, 0, 0, 0);
        Add("setresuid", "0", Libc.SYS_setresuid, 0, 0, 0, 0);
    }

    /// <param name="persona">PER_LINUX or PER_LINUX32 (personality(2)).</param>
    public void SetPersonality(uint persona) => Add("personality", null, Libc.SYS_personality, 0, persona);

    /// <summary>A session keyring of its own (keyrings(7)); nothing happens where the kernel has none.</summary>
    public void NewSessionKeyring(string name) => Add(
        "keyctl", name, Libc.SYS_keyctl, Libc.KATALIKE_OPTIONAL, Libc.KEYCTL_JOIN_SESSION_KEYRING, Text(name));

    /// <param name="resource">As RLIMIT_NOFILE, by number. In a user namespace none can be raised: see <see cref="ProcessAttributes"/>.</param>
    public void Limit(int resource, ulong soft, ulong hard) => Add(
        "prlimit", $"resource {resource}", Libc.SYS_prlimit64, 0, 0, resource, Allocate<ulong>([soft, hard]), 0);

    public void LimitBoundingSet(ulong kept, int lastCapability)
    {
        for (var capability = 0; capability <= lastCapability; capability++)
        {
            if ((kept & (1UL << capability)) == 0)
                Prctl("PR_CAPBSET_DROP", 0, Libc.PR_CAPBSET_DROP, capability);
        }
    }

    /// <summary>Becomes the user; capabilities in the permitted set stay until <see cref="SetCapabilities"/>.</summary>
    public void BecomeUser(uint uid, uint gid, IReadOnlyList<uint> groups)
    {
        Add("setgroups", null, Libc.SYS_setgroups, 0, groups.Count, Allocate<uint>(groups.ToArray()));
        Add("setresgid", gid.ToString(), Libc.SYS_setresgid, 0, gid, gid, gid);
        Prctl("PR_SET_KEEPCAPS", 0, Libc.PR_SET_KEEPCAPS, 1);
        Add("setresuid", uid.ToString(), Libc.SYS_setresuid, 0, uid, uid, uid);
        Prctl("PR_SET_KEEPCAPS", 0, Libc.PR_SET_KEEPCAPS, 0);
    }

    /// <summary>Sets all but the bounding set. Ambient capabilities that the sets do not allow are passed over.</summary>
    public void SetCapabilities(CapabilitySets sets)
    {
        uint[] header = [Libc._LINUX_CAPABILITY_VERSION_3, 0];
        uint[] data =
        [
            (uint)sets.Effective, (uint)sets.Permitted, (uint)sets.Inheritable,
            (uint)(sets.Effective >> 32), (uint)(sets.Permitted >> 32), (uint)(sets.Inheritable >> 32),
        ];
        Add("capset", null, Libc.SYS_capset, 0, Allocate<uint>(header), Allocate<uint>(data));
        Prctl("PR_CAP_AMBIENT", 0, Libc.PR_CAP_AMBIENT, Libc.PR_CAP_AMBIENT_CLEAR_ALL);
        for (var capability = 0; capability < 64; capability++)
        {
            if ((sets.Ambient & (1UL << capability)) != 0)
                Prctl("PR_CAP_AMBIENT_RAISE", Libc.KATALIKE_OPTIONAL, Libc.PR_CAP_AMBIENT, Libc.PR_CAP_AMBIENT_RAISE, capability);
        }
    }

    public void ForbidNewPrivileges() => Prctl("PR_SET_NO_NEW_PRIVS", 0, Libc.PR_SET_NO_NEW_PRIVS, 1);

    /// <summary>Loads a seccomp filter: struct sock_filter of 8 bytes each.</summary>
    /// <param name="flags">SECCOMP_FILTER_FLAG_*.</param>
    public void Filter(ReadOnlySpan<byte> program, uint flags)
    {
        if (program.Length is 0 or > 8 * 4096 || program.Length % 8 != 0)
            throw new ArgumentException($"a seccomp program of {program.Length} bytes is none");
        var filter = new Libc.sock_fprog { len = (ushort)(program.Length / 8), filter = Allocate(program) };
        Add("seccomp", null, Libc.SYS_seccomp, 0, Libc.SECCOMP_SET_MODE_FILTER, flags, Allocate<Libc.sock_fprog>([filter]));
    }

    private Step Prctl(string name, int flags, int option, long argument, long second = 0) =>
        Add("prctl", name, Libc.SYS_prctl, flags, option, argument, second, 0, 0);
}
