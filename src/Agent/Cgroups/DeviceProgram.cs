using System.Buffers.Binary;
using KataLike.Contract.Oci;

namespace KataLike.Agent.Cgroups;

/// <summary>
/// The BPF program that says which devices a container may use: the document's rules, then the devices that every
/// container has; of the rules that match, the last one decides, and where none does the answer is no.
/// </summary>
internal static class DeviceProgram
{
    private const int Block = 1, Character = 2, MakeNode = 1, Read = 2, Write = 4, All = MakeNode | Read | Write;

    // As runc's: nodes may be made of everything, and these may be used.
    private static readonly DeviceRule[] _defaults =
    [
        Allow("c", null, null, "m"), Allow("b", null, null, "m"),
        Allow("c", 1, 3), Allow("c", 1, 8), Allow("c", 1, 7), Allow("c", 5, 0), Allow("c", 1, 5), Allow("c", 1, 9),
        Allow("c", 136, null), Allow("c", 5, 2),
    ];

    private static DeviceRule Allow(string type, long? major, long? minor, string access = "rwm") =>
        new() { Allow = true, Type = type, Major = major, Minor = minor, Access = access };

    /// <summary>struct bpf_insn, 8 bytes each.</summary>
    public static byte[] Compile(IEnumerable<DeviceRule> rules)
    {
        var code = new List<ulong>();
        // struct bpf_cgroup_dev_ctx: access << 16 | type, major, minor.
        Emit(code, Load, 2, 1, 0);
        Emit(code, AndImmediate, 2, immediate: 0xffff);
        Emit(code, Load, 3, 1, 0);
        Emit(code, ShiftRightImmediate, 3, immediate: 16);
        Emit(code, Load, 4, 1, 4);
        Emit(code, Load, 5, 1, 8);
        // The verifier refuses what can never be reached: rules before one that covers everything.
        var effective = rules.Concat(_defaults).Reverse().ToList();
        var all = effective.FindIndex(CoversAll);
        foreach (var rule in all >= 0 ? effective.Take(all + 1) : effective.Append(new DeviceRule()))
            Add(code, rule);

        var bytes = new byte[code.Count * 8];
        for (var i = 0; i < code.Count; i++)
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(i * 8), code[i]);
        return bytes;
    }

    private static bool CoversAll(DeviceRule rule) =>
        rule.Type is not ("b" or "c") && AccessOf(rule) is 0 or All && rule.Major is null or < 0 && rule.Minor is null or < 0;

    private static int AccessOf(DeviceRule rule) =>
        (rule.Access ?? "").Aggregate(0, (all, letter) => all | letter switch { 'm' => MakeNode, 'r' => Read, _ => Write });

    private static void Add(List<ulong> code, DeviceRule rule)
    {
        var access = AccessOf(rule);
        var body = new List<ulong>();
        if (rule.Type is "b" or "c")
            Emit(body, JumpIfNotEqual, 2, immediate: rule.Type == "b" ? Block : Character);
        if (access is not (0 or All))
        {
            // A permission must cover all that is asked for; a refusal needs to meet only a part of it.
            Emit(body, MoveRegister, 1, 3);
            Emit(body, AndImmediate, 1, immediate: rule.Allow ? ~access : access);
            Emit(body, rule.Allow ? JumpIfNotEqual : JumpIfEqual, 1, immediate: 0);
        }
        if (rule.Major is >= 0 and var major)
            Emit(body, JumpIfNotEqual, 4, immediate: (int)major);
        if (rule.Minor is >= 0 and var minor)
            Emit(body, JumpIfNotEqual, 5, immediate: (int)minor);
        Emit(body, MoveImmediate, 0, immediate: rule.Allow ? 1 : 0);
        Emit(body, Exit);
        // Every jump of a rule goes to the next one.
        for (var i = 0; i < body.Count; i++)
        {
            var jumps = (byte)body[i] is JumpIfEqual or JumpIfNotEqual;
            code.Add(body[i] | (jumps ? (ulong)(ushort)(body.Count - i - 1) << 16 : 0));
        }
    }

    // Opcodes of linux/bpf.h: 32-bit arithmetic, 32-bit load, jumps on 64 bits.
    private const byte Load = 0x61, AndImmediate = 0x54, ShiftRightImmediate = 0x74, MoveImmediate = 0xb4, MoveRegister = 0xbc;
    private const byte JumpIfEqual = 0x15, JumpIfNotEqual = 0x55, Exit = 0x95;

    private static void Emit(List<ulong> code, byte opcode, int destination = 0, int source = 0, int offset = 0, int immediate = 0) =>
        code.Add(opcode | (ulong)(destination | source << 4) << 8 | (ulong)(ushort)offset << 16 | (ulong)(uint)immediate << 32);
}
