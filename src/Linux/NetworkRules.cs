using System.Buffers.Binary;

namespace KataLike.Linux;

/// <summary>A rule that says which table of routes counts (ip-rule(8)), as the kernel gives it: names of interfaces, no indexes.</summary>
/// <param name="Body">struct fib_rule_hdr and its attributes.</param>
public sealed record NetworkRule(byte[] Body);

/// <summary>Rules by rtnetlink.</summary>
public static class NetworkRules
{
    // struct fib_rule_hdr: family, lengths of destination and source, type of service, table, reserved (2), action, flags (4).
    private const int Structure = 12;

    /// <summary>Those of IPv4 and IPv6, but not the three that each namespace has from the start.</summary>
    public static IReadOnlyList<NetworkRule> List(Netlink netlink) =>
        netlink.Dump(() => new NetlinkMessage(Libc.RTM_GETRULE, 0, "rules", new byte[Structure]), Parse);

    /// <summary>Adds a rule; one that is there already stays.</summary>
    public static void Add(Netlink netlink, NetworkRule rule)
    {
        var message = Message(Libc.RTM_NEWRULE, Libc.NLM_F_CREATE | Libc.NLM_F_EXCL, rule);
        if (netlink.TryExecute(message) is var error and not (Errno.None or Errno.EEXIST))
            throw new LinuxException(error, "netlink", message.Operand);
    }

    /// <summary>Removes a rule; one that is not there is removed already.</summary>
    public static void Remove(Netlink netlink, NetworkRule rule)
    {
        var message = Message(Libc.RTM_DELRULE, 0, rule);
        if (netlink.TryExecute(message) is var error and not (Errno.None or Errno.ENOENT))
            throw new LinuxException(error, "netlink", message.Operand);
    }

    /// <exception cref="LinuxException">EINVAL: the body is too short.</exception>
    internal static NetlinkMessage Message(ushort type, int flags, NetworkRule rule) => rule.Body.Length >= Structure
        ? new NetlinkMessage(type, flags, $"rule {new NetlinkAttributes(rule.Body.AsSpan(Structure)).Number(Libc.FRA_PRIORITY)}", rule.Body)
        : throw new LinuxException(Errno.EINVAL, "netlink", "rule");

    internal static NetworkRule? Parse(NetlinkAnswer answer)
    {
        if (answer.Type != Libc.RTM_NEWRULE || answer.Body.Length < Structure || answer.Body[0] is not (Libc.AF_INET or Libc.AF_INET6))
            return null;
        var attributes = answer.After(Structure);
        var every = answer.Body[1] == 0 && answer.Body[2] == 0 && attributes[Libc.FRA_IIFNAME].IsEmpty && attributes[Libc.FRA_OIFNAME].IsEmpty
            && attributes[Libc.FRA_FWMARK].IsEmpty;
        if (every && (attributes.Number(Libc.FRA_PRIORITY), attributes.Number(Libc.FRA_TABLE, answer.Body[4])) is (0, 255) or (32766, 254) or (32767, 253))
            return null;
        var body = answer.Body.ToArray();
        // That an interface is not there the kernel finds out for itself.
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(8), BinaryPrimitives.ReadUInt32LittleEndian(body.AsSpan(8)) & Libc.FIB_RULE_INVERT);
        return new NetworkRule(body);
    }
}

internal static unsafe partial class Libc
{
    internal const ushort RTM_NEWRULE = 32, RTM_DELRULE = 33, RTM_GETRULE = 34;
    internal const int FRA_IIFNAME = 3, FRA_PRIORITY = 6, FRA_FWMARK = 10, FRA_TABLE = 15, FRA_OIFNAME = 17;
    internal const uint FIB_RULE_INVERT = 2;
}
