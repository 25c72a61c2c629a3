//! Strategies for what the journal says of segments, stripes and chunks.

use super::*;

fields!(SegmentClosed { segment, len });
fields!(SegmentRow { opened, len, closed, read_back });
fields!(ChunksInlined { domain, chunks });

impl Any for ChunkPlace {
    fn any() -> BoxedStrategy<Self> {
        (ChunkId::any(), 0..u32::MAX / 2, 0..u32::MAX / 2, any::<u32>(), 0_u8..=1)
            .prop_map(|(id, offset, sealed_len, plain_len, flags)| Self { id, offset, sealed_len, plain_len, flags })
            .boxed()
    }
}

impl Any for ChunkRow {
    fn any() -> BoxedStrategy<Self> {
        (SegmentId::any(), offset(), shard_len(), ChunkPlace::any(), DomainId::any())
            .prop_map(|(segment, stripe, shard_len, place, domain)| Self {
                segment,
                stripe,
                shard_len,
                offset: place.offset,
                sealed_len: place.sealed_len,
                plain_len: place.plain_len,
                domain,
            })
            .boxed()
    }
}

impl Any for SegmentOpened {
    fn any() -> BoxedStrategy<Self> {
        (width(), SegmentId::any(), StripeKind::any(), any::<u8>(), any::<u16>())
            .prop_flat_map(|((k, m), segment, kind, tier, jurisdiction)| {
                disks(usize::from(k + m)).prop_map(move |disks| Self {
                    segment,
                    kind,
                    k,
                    m,
                    codec: CODEC_RS_GF8,
                    disks,
                    tier,
                    jurisdiction,
                })
            })
            .boxed()
    }
}

impl Any for StripeAdded {
    fn any() -> BoxedStrategy<Self> {
        (SegmentId::any(), offset(), shard_len(), StripeHash::any(), DomainId::any(), Any::any())
            .prop_map(|(segment, offset, shard_len, hash, domain, chunks)| Self {
                segment,
                offset,
                shard_len,
                hash,
                domain,
                chunks,
            })
            .boxed()
    }
}

impl Any for NodeAdded {
    fn any() -> BoxedStrategy<Self> {
        (ChunkId::any(), DomainId::any(), 0..=LEVEL_MAX, 0_u32..1000, vec(ChunkId::any(), 0..20))
            .prop_map(|(node, domain, level, first, children)| Self { node, domain, level, first, children })
            .boxed()
    }
}

impl Any for ChunksDamaged {
    fn any() -> BoxedStrategy<Self> {
        (SegmentId::any(), offset(), vec(ChunkId::any(), 0..20))
            .prop_map(|(segment, stripe, chunks)| Self { segment, stripe, chunks })
            .boxed()
    }
}
