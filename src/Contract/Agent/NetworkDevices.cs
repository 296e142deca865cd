using System.Buffers.Binary;

namespace KataLike.Contract.Agent;

/// <summary>How host and agent name network devices to each other: by the number in the hardware address that QEMU gives them.</summary>
public static class NetworkDevices
{
    /// <summary>NetworkInterface.id of the loopback interface, which is no device; those of devices come after it.</summary>
    public const uint Loopback = 1;

    /// <summary>Six bytes: locally administered, and the same for no two devices of a machine, whatever those in the pod have.</summary>
    public static byte[] HardwareAddress(uint id)
    {
        byte[] address = [0x02, 0x6b, 0x6c, 0, 0, 0];
        BinaryPrimitives.WriteUInt16BigEndian(address.AsSpan(4), checked((ushort)id));
        return address;
    }
}
