using KataLike.Linux;

namespace KataLike.Runtime.Vsock;

/// <summary>One piece of the guest's memory as QEMU describes it; addresses and sizes in bytes.</summary>
internal readonly record struct MemoryRegion(ulong GuestAddress, ulong Size, ulong UserAddress, ulong FileOffset);

/// <summary>The guest's memory, mapped here. Every address that comes from outside is looked up in it.</summary>
internal sealed unsafe class GuestMemory : IDisposable
{
    private readonly MemoryRegion[] regions;
    private readonly MappedMemory[] mappings;

    /// <summary>Maps the regions; the descriptors stay the caller's.</summary>
    public GuestMemory(IReadOnlyList<MemoryRegion> regions, IReadOnlyList<FileDescriptor> files)
    {
        this.regions = [.. regions];
        mappings = new MappedMemory[regions.Count];
        try
        {
            for (var i = 0; i < mappings.Length; i++)
                mappings[i] = Map(regions[i], files[i]);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The bytes at a guest-physical address, or null unless all of them lie in one region.</summary>
    public byte* AtGuestAddress(ulong address, ulong length)
    {
        for (var i = 0; i < regions.Length; i++)
        {
            // SAFETY: the mapping holds FileOffset + Size bytes (Map); Inside keeps offset + length within Size.
            if (Inside(regions[i].GuestAddress, regions[i].Size, address, length))
                return mappings[i].Pointer + regions[i].FileOffset + (address - regions[i].GuestAddress);
        }

        return null;
    }

    /// <summary>The bytes at an address of QEMU's own, in which it names the rings; null as above.</summary>
    public byte* AtUserAddress(ulong address, ulong length)
    {
        for (var i = 0; i < regions.Length; i++)
        {
            // SAFETY: as in AtGuestAddress.
            if (Inside(regions[i].UserAddress, regions[i].Size, address, length))
                return mappings[i].Pointer + regions[i].FileOffset + (address - regions[i].UserAddress);
        }

        return null;
    }

    public void Dispose()
    {
        foreach (var mapping in mappings)
            mapping?.Dispose();
    }

    private static bool Inside(ulong start, ulong size, ulong address, ulong length) =>
        address >= start && address - start <= size && length <= size - (address - start);

    private static MappedMemory Map(MemoryRegion region, FileDescriptor file)
    {
        var fileSize = Files.Status(file).Size;
        if (region.Size == 0 || region.FileOffset > fileSize || region.Size > fileSize - region.FileOffset)
            throw new VsockProtocolException(
                $"vhost-user: memory region of {region.Size} bytes at {region.FileOffset} is outside its file of {fileSize}");
        return MappedMemory.Share(file, region.FileOffset + region.Size);
    }
}
