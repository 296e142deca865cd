using KataLike.Linux;
using KataLike.Runtime.Vsock;

namespace KataLike.Runtime.Tests.Vsock;

public sealed class VhostUserTests
{
    /// <summary>What QEMU 7.2 sends when the device is realized, as hexadecimal of request, flags, size, payload; and our replies.</summary>
    [Theory]
    [InlineData("010000000100000000000000", "010000000500000008000000" + "0000007001000000")]
    [InlineData("0f0000000100000000000000", "0f0000000500000008000000" + "0802000000000000")]
    [InlineData("100000000100000008000000" + "0802000000000000", null)]
    [InlineData("030000000100000000000000", null)]
    [InlineData("180000000100000014000000" + "0000000008000000000000000000000000000000",
        "180000000500000014000000" + "0000000008000000000000000300000000000000")]
    public void Messages_of_QEMU_get_the_replies_it_expects(string message, string? reply)
    {
        using var reader = new VhostUserReader();
        using var backend = new VhostUserBackend(3);
        VhostUserMessage? complete = null;
        // Byte by byte, as a stream may deliver it.
        foreach (var value in Convert.FromHexString(message))
        {
            Assert.Null(complete);
            reader.Missing.Span[0] = value;
            complete = reader.Advance(1);
        }

        Assert.NotNull(complete);
        var answer = backend.Handle(complete);
        Assert.Equal(reply, answer is null ? null : Convert.ToHexString(answer).ToLowerInvariant());
    }

    [Theory]
    [InlineData("010000000100000001020000")]
    [InlineData("010000000200000000000000")]
    [InlineData("0500000001000000080000000100000000000000")]
    [InlineData("08000000010000000800000003000000" + "00010000")]
    [InlineData("08000000010000000800000000000000" + "01040000")]
    [InlineData("0c00000001000000080000000000000000000000")]
    [InlineData("0c00000001000000080000000001000000000000")]
    [InlineData("090000000100000008000000" + "0000000000000000")]
    public void Malformed_messages_are_refused(string message)
    {
        using var reader = new VhostUserReader();
        using var backend = new VhostUserBackend(3);
        Assert.Throws<VsockProtocolException>(() =>
        {
            ReadOnlySpan<byte> bytes = Convert.FromHexString(message);
            while (!bytes.IsEmpty)
            {
                var count = Math.Min(bytes.Length, reader.Missing.Length);
                bytes[..count].CopyTo(reader.Missing.Span);
                bytes = bytes[count..];
                if (reader.Advance(count) is { } complete)
                    backend.Handle(complete);
            }
        });
    }

    [Fact]
    public void Memory_beyond_its_file_is_refused()
    {
        using var file = Memory.CreateFile("small", 4096);
        Assert.Throws<VsockProtocolException>(() => new GuestMemory([new MemoryRegion(0, 8192, 0, 0)], [file]));
        Assert.Throws<VsockProtocolException>(
            () => new GuestMemory([new MemoryRegion(0, 4096, 0, ulong.MaxValue - 100)], [file]));
    }
}
