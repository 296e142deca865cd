namespace KataLike.Linux;

internal static unsafe partial class Libc
{
    internal const int SYS_bpf = 321;
    internal const int BPF_PROG_LOAD = 5, BPF_PROG_ATTACH = 8, BPF_PROG_TYPE_CGROUP_DEVICE = 15;
    internal const int BPF_CGROUP_DEVICE = 6, BPF_F_ALLOW_MULTI = 2, BPF_F_REPLACE = 4;

    /// <summary>The beginning of union bpf_attr for BPF_PROG_LOAD.</summary>
    internal struct bpf_prog_load
    {
        internal uint prog_type, insn_cnt;
        internal ulong insns, license;
        internal uint log_level, log_size;
        internal ulong log_buf;
        internal uint kern_version, prog_flags;
        internal ulong prog_name, prog_name_rest;
        internal uint prog_ifindex, expected_attach_type;
    }

    /// <summary>union bpf_attr for BPF_PROG_ATTACH.</summary>
    internal struct bpf_prog_attach
    {
        internal uint target_fd, attach_bpf_fd, attach_type, attach_flags, replace_bpf_fd;
    }
}

/// <summary>BPF programs that decide which devices a cgroup may use.</summary>
public static unsafe class Bpf
{
    /// <summary>Loads a program of struct bpf_insn, 8 bytes each.</summary>
    public static FileDescriptor LoadDeviceProgram(ReadOnlySpan<byte> instructions)
    {
        fixed (byte* first = instructions, license = "Apache\0"u8)
        {
            // SAFETY: the kernel reads insn_cnt instructions, which the span holds.
            var load = new Libc.bpf_prog_load
            {
                prog_type = Libc.BPF_PROG_TYPE_CGROUP_DEVICE,
                insn_cnt = (uint)(instructions.Length / 8),
                insns = (ulong)first,
                license = (ulong)license,
            };
            return new FileDescriptor((int)Libc.Check(
                Libc.syscall(Libc.SYS_bpf, Libc.BPF_PROG_LOAD, (nint)(&load), sizeof(Libc.bpf_prog_load)), "bpf", "device program"));
        }
    }

    /// <summary>Attaches a program to a cgroup; or puts it in the place of one that is attached.</summary>
    public static void Attach(FileDescriptor cgroup, FileDescriptor program, FileDescriptor? replaced = null)
    {
        var attach = new Libc.bpf_prog_attach
        {
            target_fd = (uint)cgroup.Number,
            attach_bpf_fd = (uint)program.Number,
            attach_type = Libc.BPF_CGROUP_DEVICE,
            attach_flags = Libc.BPF_F_ALLOW_MULTI | (replaced is null ? 0u : Libc.BPF_F_REPLACE),
            replace_bpf_fd = (uint)(replaced?.Number ?? 0),
        };
        Libc.Check(Libc.syscall(Libc.SYS_bpf, Libc.BPF_PROG_ATTACH, (nint)(&attach), sizeof(Libc.bpf_prog_attach)), "bpf", "attach");
    }
}
