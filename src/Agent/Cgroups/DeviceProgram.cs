using System.Buffers.Binary;
using KataLike.Contract.Oci;
using KataLike.Linux;

namespace KataLike.Agent.Cgroups;

/// <summary>
/// The BPF program that says which devices a container may use. It goes through the document's rules, then those that
/// every container has, and each gives or takes some kinds of access: what is left at the end must cover all that is
/// asked for. So rules add up, and a later one overrides an earlier one.
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

    private static readonly List<(byte[] Code, FileDescriptor Program)> _loaded = [];

    /// <summary>Has those verified that most containers ask for; done in a template, it need not be done in its copies.</summary>
    public static void LoadUsual()
    {
        foreach (var rules in (DeviceRule[][])[[], [new DeviceRule { Allow = false, Access = "rwm" }]])
        {
            var code = Compile(rules);
            _loaded.Add((code, Bpf.LoadDeviceProgram(code)));
        }
    }

    /// <summary>The program in the kernel.</summary>
    public static FileDescriptor Make(IEnumerable<DeviceRule> rules)
    {
        var code = Compile(rules);
        return _loaded.Find(loaded => loaded.Code.AsSpan().SequenceEqual(code)).Program?.Duplicate() ?? Bpf.LoadDeviceProgram(code);
    }

    /// <summary>struct bpf_insn, 8 bytes each.</summary>
    public static byte[] Compile(IEnumerable<DeviceRule> rules)
    {
        var code = new List<ulong>();
        Emit(code, MoveImmediate, Granted, immediate: 0);
        foreach (var rule in rules.Concat(_defaults))
            Add(code, rule);
        Emit(code, Load, Value, Context, AccessAndType);
        Emit(code, ShiftRightImmediate, Value, immediate: 16);
        Emit(code, XorImmediate, Granted, immediate: All);
        Emit(code, AndRegister, Value, Granted);
        Emit(code, MoveImmediate, Granted, immediate: 1);
        Emit(code, JumpIfEqual, Value, offset: 1, immediate: 0);
        Emit(code, MoveImmediate, Granted, immediate: 0);
        Emit(code, Exit);

        var bytes = new byte[code.Count * 8];
        for (var i = 0; i < code.Count; i++)
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(i * 8), code[i]);
        return bytes;
    }

    private static int AccessOf(DeviceRule rule) => string.IsNullOrEmpty(rule.Access) ? All
        : rule.Access.Aggregate(0, (all, letter) => all | letter switch { 'm' => MakeNode, 'r' => Read, _ => Write });

    /// <summary>Each rule loads what it looks at, so that the verifier has nothing to remember from one to the next.</summary>
    private static void Add(List<ulong> code, DeviceRule rule)
    {
        var body = new List<ulong>();
        if (rule.Type is "b" or "c")
        {
            Emit(body, Load, Value, Context, AccessAndType);
            Emit(body, AndImmediate, Value, immediate: 0xffff);
            Emit(body, JumpIfNotEqual, Value, immediate: rule.Type == "b" ? Block : Character);
        }
        foreach (var (field, wanted) in new[] { (Major, rule.Major), (Minor, rule.Minor) })
        {
            if (wanted is not >= 0)
                continue;
            Emit(body, Load, Value, Context, field);
            Emit(body, JumpIfNotEqual, Value, immediate: (int)wanted);
        }
        var access = AccessOf(rule);
        Emit(body, rule.Allow ? OrImmediate : AndImmediate, Granted, immediate: rule.Allow ? access : ~access);
        // Every jump of a rule goes to the next one.
        for (var i = 0; i < body.Count; i++)
            code.Add(body[i] | ((byte)body[i] == JumpIfNotEqual ? (ulong)(ushort)(body.Count - i - 1) << 16 : 0));
    }

    private const int Granted = 0, Context = 1, Value = 2; // registers

    // struct bpf_cgroup_dev_ctx: access << 16 | type, major, minor.
    private const int AccessAndType = 0, Major = 4, Minor = 8;

    // Opcodes of linux/bpf.h: 32-bit arithmetic, 32-bit load, jumps on 64 bits.
    private const byte Load = 0x61, OrImmediate = 0x44, AndImmediate = 0x54, AndRegister = 0x5c, XorImmediate = 0xa4;
    private const byte ShiftRightImmediate = 0x74, MoveImmediate = 0xb4, JumpIfEqual = 0x15, JumpIfNotEqual = 0x55, Exit = 0x95;

    private static void Emit(List<ulong> code, byte opcode, int destination = 0, int source = 0, int offset = 0, int immediate = 0) =>
        code.Add(opcode | (ulong)(destination | source << 4) << 8 | (ulong)(ushort)offset << 16 | (ulong)(uint)immediate << 32);
}
