using System.Buffers.Binary;

namespace KataLike.Linux;

/// <summary>
/// Redirection of all that comes in on one interface out of another, before the kernel's own network sees it (tc(8): an
/// ingress qdisc, and a u32 filter that matches all, whose action is mirred).
/// </summary>
public static class TrafficControl
{
    // struct tcmsg: family, padding (3), index of the interface (4), handle (4), parent (4), info (4).
    private const int Structure = 20;

    // struct tc_u32_sel and one struct tc_u32_key.
    private const int SelectorSize = 16, KeySize = 16;

    // struct tc_mirred.
    private const int MirredSize = 28;

    private const uint IngressHandle = 0xffff0000;

    // Any other filter of the interface comes after ours.
    private const uint Priority = 1;

    /// <summary>Redirects what comes in. A redirection of ours that was there is replaced.</summary>
    public static void Redirect(Netlink netlink, NetworkLink from, NetworkLink to)
    {
        var qdisc = Qdisc(Libc.RTM_NEWQDISC, Libc.NLM_F_CREATE | Libc.NLM_F_EXCL, from);
        switch (netlink.TryExecute(qdisc))
        {
            case Errno.None:
                break;
            case Errno.EEXIST:
                RemoveFilter(netlink, from);
                break;
            case var error:
                throw new LinuxException(error, "netlink", qdisc.Operand);
        }
        netlink.Execute(Filter(from, to));
    }

    /// <summary>Removes the redirection, and all else that looks at what comes in; nothing there is no error.</summary>
    public static void Remove(Netlink netlink, NetworkLink from)
    {
        var message = Qdisc(Libc.RTM_DELQDISC, 0, from);
        if (netlink.TryExecute(message) is var error and not (Errno.None or Errno.ENOENT or Errno.EINVAL or Errno.ENODEV))
            throw new LinuxException(error, "netlink", message.Operand);
    }

    private static void RemoveFilter(Netlink netlink, NetworkLink from)
    {
        var message = Head(Libc.RTM_DELTFILTER, 0, from, 0, IngressHandle, FilterInfo);
        if (netlink.TryExecute(message) is var error and not (Errno.None or Errno.ENOENT or Errno.EINVAL))
            throw new LinuxException(error, "netlink", message.Operand);
    }

    // The protocol in network order.
    private static uint FilterInfo => Priority << 16 | BinaryPrimitives.ReverseEndianness((ushort)Libc.ETH_P_ALL);

    internal static NetlinkMessage Qdisc(ushort type, int flags, NetworkLink link) =>
        Head(type, flags, link, IngressHandle, Libc.TC_H_INGRESS, 0).Add(Libc.TCA_KIND, "ingress");

    internal static NetlinkMessage Filter(NetworkLink from, NetworkLink to)
    {
        // One key that compares nothing.
        var selector = new byte[SelectorSize + KeySize];
        (selector[0], selector[2]) = (Libc.TC_U32_TERMINAL, 1);
        var mirred = new byte[MirredSize];
        BinaryPrimitives.WriteInt32LittleEndian(mirred.AsSpan(8), Libc.TC_ACT_STOLEN);
        BinaryPrimitives.WriteInt32LittleEndian(mirred.AsSpan(20), Libc.TCA_EGRESS_REDIR);
        BinaryPrimitives.WriteInt32LittleEndian(mirred.AsSpan(24), to.Index);
        return Head(Libc.RTM_NEWTFILTER, Libc.NLM_F_CREATE | Libc.NLM_F_EXCL, from, 0, IngressHandle, FilterInfo)
            .Add(Libc.TCA_KIND, "u32")
            .Nest(Libc.TCA_OPTIONS, options => options
                .Add(Libc.TCA_U32_SEL, selector)
                .Nest(Libc.TCA_U32_ACT, actions => actions.Nest(1, action => action
                    .Add(Libc.TCA_ACT_KIND, "mirred")
                    .Nest(Libc.TCA_ACT_OPTIONS, parameters => parameters.Add(Libc.TCA_MIRRED_PARMS, mirred)))));
    }

    private static NetlinkMessage Head(ushort type, int flags, NetworkLink link, uint handle, uint parent, uint info)
    {
        Span<byte> body = stackalloc byte[Structure];
        body.Clear();
        BinaryPrimitives.WriteInt32LittleEndian(body[4..], link.Index);
        BinaryPrimitives.WriteUInt32LittleEndian(body[8..], handle);
        BinaryPrimitives.WriteUInt32LittleEndian(body[12..], parent);
        BinaryPrimitives.WriteUInt32LittleEndian(body[16..], info);
        return new NetlinkMessage(type, flags, $"traffic control of {link.Name}", body);
    }
}

internal static unsafe partial class Libc
{
    internal const ushort RTM_NEWQDISC = 36, RTM_DELQDISC = 37, RTM_NEWTFILTER = 44, RTM_DELTFILTER = 45;
    internal const uint TC_H_INGRESS = 0xfffffff1;
    internal const int ETH_P_ALL = 3, TCA_KIND = 1, TCA_OPTIONS = 2, TCA_U32_SEL = 5, TCA_U32_ACT = 7, TCA_ACT_KIND = 1, TCA_ACT_OPTIONS = 2;
    internal const int TCA_MIRRED_PARMS = 2, TC_ACT_STOLEN = 4, TCA_EGRESS_REDIR = 1;
    internal const byte TC_U32_TERMINAL = 1;
}
